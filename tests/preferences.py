"""Preference files about the things of `small`, and command lines that train on them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.commands import QUICK, prepare
from tests.small import THINGS, WORDS

METHODS = ("dpo", "ipo", "kto", "orpo", "simpo")


def prepared(folder: Path) -> Path:
    """Fill a folder as `prepare` does, and with `r.jsonl`, `p.jsonl` and `l.jsonl`."""
    prepare(folder)
    make_rankings(folder / "r.jsonl")
    make_pairs(folder / "p.jsonl")
    make_labels(folder / "l.jsonl")
    return folder


def typed(method: str, data: str = "r.jsonl") -> tuple[str, ...]:
    """Return the command line of a short run."""
    return (method, data, "--model", "m", *QUICK)


def make_rankings(path: Path, count: int = 40) -> Path:
    """Write rankings of 2 to 4 responses, with ties here and there."""
    rows = [
        {
            "prompt": _question(i),
            "responses": [_answer(i + k) + " Yes." * k for k in range(2 + i % 3)],
            "ranks": [1 + k // (2 if i % 7 == 2 else 1) for k in range(2 + i % 3)],
        }
        for i in range(count)
    ]
    return _write(path, rows)


def make_pairs(path: Path, count: int = 40) -> Path:
    """Write pairs."""
    rows = [
        {"prompt": _question(i), "chosen": _answer(i), "rejected": _answer(i + 1) + " No."}
        for i in range(count)
    ]
    return _write(path, rows)


def make_labels(path: Path, count: int = 40) -> Path:
    """Write responses that are good or bad."""
    rows = [
        {"prompt": _question(i), "completion": _answer(i + i % 2), "label": i % 2 == 0}
        for i in range(count)
    ]
    return _write(path, rows)


def _question(i: int) -> str:
    return f"What is the {THINGS[i % 8]} like? ({i})"


def _answer(i: int) -> str:
    return f"It is {WORDS[(i * 3) % 8]}."


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
