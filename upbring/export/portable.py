"""Names without the folders of this machine, for files that go to other people."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from upbring.runs.contract import Contract
from upbring.runs.results import EvalResult

# A path that starts at a root, at home or above the current folder; not the path of a URL.
_PATH = re.compile(r"(?<![\w:/.~])(?:~|\.\.)?/(?:[^\s/|`'\")]+/)*([^\s/|`'\")]+)/?")


def portable_name(name: str) -> str:
    """Return the name of a base or a file without the folders of this machine.

    >>> portable_name("/home/eva/models/base"), portable_name("Qwen/Qwen2.5-0.5B")
    ('base', 'Qwen/Qwen2.5-0.5B')
    >>> portable_name("../data/chat.jsonl"), portable_name("data/chat.jsonl")
    ('chat.jsonl', 'data/chat.jsonl')
    """
    is_path = Path(name).is_absolute() or name.startswith(("~", ".."))
    return Path(name).name if is_path else name


def portable_text(text: str, names: Iterable[str] = ()) -> str:
    """Return a text in which the given names, and other paths, have no folders of this machine.

    >>> portable_text("from /srv/a b/x.jsonl and ~/m, see https://e.org/x", ["/srv/a b/x.jsonl"])
    'from x.jsonl and m, see https://e.org/x'
    """
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, portable_name(name))
    return _PATH.sub(r"\1", text)


def portable_result(result: EvalResult) -> EvalResult:
    """Return a result whose models, judge and note have no folders of this machine."""
    judge = result.judge
    return replace(
        result,
        model=portable_name(result.model),
        against=portable_name(result.against) if result.against else None,
        note=portable_text(result.note),
        judge=judge
        and replace(judge, name=portable_name(judge.name), detail=portable_text(judge.detail)),
    )


def portable_contract(contract: Contract) -> Contract:
    """Return a contract whose base and files have no folders of this machine."""
    history = tuple(
        replace(
            stage, data=tuple(replace(each, file=portable_name(each.file)) for each in stage.data)
        )
        for stage in contract.history
    )
    return replace(contract, base=portable_name(contract.base), history=history)
