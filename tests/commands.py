"""Commands of `upbring`, run in this process in a given folder."""

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import small
from upbring.cli.main import main

QUICK = (
    *("--steps", "6", "--batch-size", "4", "--eval-steps", "3", "--save-steps", "2"),
    *("--held-out-share", "0.1", "--sample-tokens", "4", "--learning-rate", "0.01"),
    *("--dtype", "float32", "--threads", "1"),
)
SFT = ("sft", "d.jsonl", "--model", "m", *QUICK)


def make_home(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a model `m`, demonstrations `d.jsonl` and its own cache."""
    small.make_model(folder / "m")
    small.make_demonstrations(folder / "d.jsonl", 12)
    patch.setenv("UPBRING_CACHE", str(folder / "cache"))
    patch.chdir(folder)
    return folder


@dataclass(frozen=True)
class Answer:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def upbring(folder: Path, *words: str) -> Answer:
    """Run a command in `folder`; it must never print a traceback."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPBRING_CACHE", str(folder / "cache"))
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main([str(word) for word in words])
    assert "Traceback" not in err.getvalue()
    return Answer(code, out.getvalue(), err.getvalue())


def done(folder: Path, *words: str) -> Answer:
    """Run a command that must succeed."""
    answer = upbring(folder, *words)
    assert answer.code == 0, answer.err
    return answer


def prepare(folder: Path) -> Path:
    """Fill a folder with a model `m`, demonstrations `d.jsonl` and documents `t.jsonl`."""
    small.make_model(folder / "m")
    small.make_demonstrations(folder / "d.jsonl")
    small.make_documents(folder / "t.jsonl")
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def curve(run: Path) -> list[dict[str, object]]:
    """Return a run's metrics without the times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in {"time", "seconds"}} for line in lines]
