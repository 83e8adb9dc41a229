"""A server that answers, critiques, revises and judges, by simple rules on the text."""

import json
import math
from pathlib import Path
from typing import Any

from tests.remote.scripted_server import Body, Scripted, chat
from upbring.settings.constitution import ConstitutionSettings

PRINCIPLES = """
principles:
  - id: kind
    text: Which answer is kinder?
    critique: CRITIQUE
    revision: REVISE
"""


def converse(body: Body) -> Scripted:
    """Answer with the seed, revise to something kind, and judge the kinder one better."""
    text = body["messages"][-1]["content"]
    if text == "CRITIQUE":
        return chat("It is not kind.")
    if text == "REVISE":
        return chat(f"Revised: Dear friend, {body['messages'][-4]['content']}")
    if "[Answer A]" in text:
        return judge(text)
    return chat(f"Number {body['seed'] % 1000}.")


def judge(text: str) -> Scripted:
    first, second = (part.count("kind") + part.count("Dear") for part in _answers(text))
    if first == second:
        logprobs = {"A": math.log(0.2), "B": math.log(0.2), "C": math.log(0.5)}
        return chat("C", logprobs=logprobs)
    better, worse = ("A", "B") if first > second else ("B", "A")
    return chat(better, logprobs={better: math.log(0.7), worse: math.log(0.2), "C": math.log(0.1)})


def _answers(text: str) -> tuple[str, str]:
    first, _, rest = text.partition("[Answer A]")[2].partition("[Answer B]")
    return first, rest.partition("[Question]")[0]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def settings(folder: Path, url: str, **changes: Any) -> ConstitutionSettings:
    """Return settings with prompts, principles and gold pairs in a folder."""
    prompts = write_rows(
        folder / "prompts.jsonl",
        [{"prompt": f"Question {i}?", "label": "safe" if i % 2 else "unsafe"} for i in range(6)],
    )
    (folder / "principles.yaml").write_text(PRINCIPLES, encoding="utf-8")
    gold = write_rows(
        folder / "gold.jsonl",
        [{"prompt": f"{i}?", "chosen": f"kind {i}", "rejected": f"bad {i}"} for i in range(30)],
    )
    values: dict[str, Any] = {
        "model": url,
        "prompts": (prompts,),
        "principles": folder / "principles.yaml",
        "gold": (gold,),
        "concurrency": 1,
        **changes,
    }
    return ConstitutionSettings(**values)


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
