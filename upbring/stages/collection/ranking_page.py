"""The page on which people rank answers: one file that works offline."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

RANKING_PAGE_FILE = "rank.html"


def render_ranking_page(
    rows: Sequence[Mapping[str, Any]], *, file_name: str = "answers.jsonl"
) -> str:
    """Return the page for rows of a prompt and its responses, which are also in `file_name`."""
    # `<` is escaped so that no text can end the script element
    text = json.dumps(list(rows), ensure_ascii=False).replace("<", "\\u003c")
    key = hashlib.sha256(text.encode()).hexdigest()[:12]  # keeps the ranks of different files apart
    template = files("upbring.stages.collection").joinpath("rank.html").read_text(encoding="utf-8")
    return template.replace("__KEY__", key).replace("__FILE__", file_name).replace("__ROWS__", text)
