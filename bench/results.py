"""Measured figures: `results.jsonl`, one JSON object per figure, and the page made from it.

A benchmark with `--record` appends its figures; `python bench/results.py` writes `RESULTS.md`.
A record is a figure with its date, commit, machine and command. Records are only ever appended:
old ones keep the command as it was typed at their commit. Nothing large is imported here, because
the benchmarks measure the peak memory of child processes (see `interleaved`).
"""

import argparse
import fcntl
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from interleaved import Spread

if TYPE_CHECKING:
    from upbring.maths.statistics import Estimate

BENCH = Path(__file__).resolve().parent
FILE = BENCH / "results.jsonl"
PAGE = BENCH / "RESULTS.md"
QUESTIONS = (
    "speed against TRL: SFT",
    "speed against TRL: DPO",
    "speed against TRL: reward model",
    "speed against TRL: PPO",
    "speed against TRL: GRPO",
    "memory against TRL",
    "generation",
    "serving",
    "GGUF import and export",
    "hardware utilization",
    "scaling",
    "pretraining",
    "start-up",
    "planning accuracy",
    "resume and durability",
    "tests and demo time",
    "parity of losses",
    "reading data and personal data",
    "refusal rules",
    "human labels",
    "attacks and hardening",
    "reward model on public data",
    "exact-number rewards",
    "evidence on real models",
    "toy world quality: base model",
    "toy world quality: SFT",
    "toy world quality: reward model",
    "toy world quality: preference training",
    "toy world quality: domain training",
    "toy world quality: demo",
    "toy world quality: constitutional training",
    "labels needed: active selection",
)
MACHINE = ("processor", "cores", "threads", "ram_gb")
LOCAL_FLAGS = {"--record": 1, "--trl-python": 2}  # dropped from a command, with their values


class Case(TypedDict, total=False):
    """The optional fields of a figure that its measurement does not give."""

    n: int | None
    model: str | None
    precision: str | None
    note: str | None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measured value. `low` and `high` are least and most of the rounds, or a 95 % interval."""

    question: str  # one of `QUESTIONS`
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None  # rounds, prompts or cases behind the value
    unit: str
    model: str | None = None  # a shape of the benchmarks or a model, and how it was trained
    precision: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if self.question not in QUESTIONS:
            raise ValueError(f"{self.metric}: unknown question {self.question!r}; see QUESTIONS")
        if not self.metric or not self.unit:
            raise ValueError(f"{self.question}: a figure needs a metric and a unit")
        numbers = [x for x in (self.low, self.value, self.high) if x is not None]
        if not all(math.isfinite(x) for x in numbers):
            raise ValueError(f"{self.metric}: {numbers} must be finite")
        if numbers != sorted(numbers):
            raise ValueError(f"{self.metric}: {self.value} is not within {self.low} to {self.high}")

    @classmethod
    def of(
        cls, question: str, metric: str, spread: Spread, unit: str, **case: Unpack[Case]
    ) -> Self:
        """Return the median, least and most of several rounds as a figure."""
        value, low, high = (rounded(x) for x in (spread.median, spread.least, spread.most))
        return cls(
            question=question, metric=metric, value=value, low=low, high=high, unit=unit, **case
        )

    @classmethod
    def estimated(
        cls, question: str, metric: str, estimate: "Estimate", unit: str, **case: Unpack[Case]
    ) -> Self:
        """Return an estimate as a figure; where the unit is %, a share of 1 becomes per cent."""
        scale = 100 if unit == "%" else 1
        parts = (estimate.value, estimate.low, estimate.high)
        value, low, high = (round(scale * float(x), 3) for x in parts)
        case = {"n": estimate.count, **case}
        return cls(
            question=question, metric=metric, value=value, low=low, high=high, unit=unit, **case
        )


@dataclass(frozen=True, kw_only=True)
class Record:
    """A figure and where it was measured."""

    date: str  # YYYY-MM-DD
    commit: str  # "-dirty" at its end: the tree had changes
    machine: Mapping[str, Any]  # processor, cores; where known also threads and ram_gb
    command: str
    figure: Figure

    def __post_init__(self) -> None:
        date.fromisoformat(self.date)
        if not self.commit or not self.command:
            raise ValueError(f"{self.figure.metric}: a record needs a commit and a command")
        if not {"processor", "cores"} <= self.machine.keys() <= {*MACHINE}:
            raise ValueError(f"{self.figure.metric}: a machine has {MACHINE}, not {self.machine}")

    def to_json(self) -> str:
        """Return one line of `results.jsonl`; fields without a value are left out."""
        figure = {f.name: getattr(self.figure, f.name) for f in fields(Figure)}
        row = {"date": self.date, "commit": self.commit, "machine": dict(self.machine)}
        row |= {"command": self.command} | {k: v for k, v in figure.items() if v is not None}
        return json.dumps(row, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the record of a line; raises where a field is missing, unknown or invalid."""
        row = json.loads(line)
        own = {name: row.pop(name) for name in ("date", "commit", "machine", "command")}
        return cls(**own, figure=Figure(**row))


def rounded(x: float) -> float:
    """Return `x` as a whole number from 100, else with three digits: no benchmark repeats more."""
    return round(x) if abs(x) >= 100 else float(f"{x:.3g}")  # noqa: PLR2004 -- three digits


def comparison(
    question: str,
    name: str,
    unit: str,
    *,
    ours: Spread,
    theirs: Spread,
    gain: Spread,
    rival: str = "TRL",
    **case: Unpack[Case],
) -> list[Figure]:
    """Return the figures of upbring and of the rival, and their ratio taken within each round.

    None where it was not measured: speed needs more than one step.
    """
    if math.isnan(ours.median):
        return []
    return [
        Figure.of(question, f"upbring {name}", ours, unit, **case),
        Figure.of(question, f"{rival} {name}", theirs, unit, **case),
        Figure.of(question, f"{name} ratio", gain, "×", **case),
    ]


def add_record_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--record` to the flags of a benchmark."""
    parser.add_argument(
        "--record", action="store_true", help="append the figures to bench/results.jsonl"
    )


def record(figures: Iterable[Figure], *, threads: int | None = None, file: Path = FILE) -> None:
    """Append figures with today's date, this commit, this machine and this command."""
    shared = {
        "date": date.today().isoformat(),  # noqa: DTZ011 -- the day where it was measured
        "commit": this_commit(),
        "machine": this_machine(threads),
        "command": this_command(sys.argv),
    }
    records = [Record(**shared, figure=figure) for figure in figures]
    append(records, file)
    print(f"{len(records)} figures appended to {file}; `make docs` updates RESULTS.md")


def append(records: Sequence[Record], file: Path) -> None:
    """Append all records or none, also if two benchmarks append at the same time."""
    data = "".join(f"{record.to_json()}\n" for record in records).encode()
    with file.open("ab") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        size = os.fstat(out.fileno()).st_size
        try:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        except OSError:
            os.truncate(file, size)
            raise


def read(file: Path = FILE) -> list[Record]:
    """Return all records, oldest first."""
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records.append(Record.from_json(line))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{file}:{number}: {error!r}; fix or delete this line") from error
    return records


def this_commit() -> str:
    """Return the commit of the checkout, with `-dirty` where tracked files have changes."""
    words = ["git", "-C", str(BENCH), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def this_machine(threads: int | None) -> dict[str, Any]:
    """Return this machine as records name it."""
    from upbring.runs.environment import (  # noqa: PLC0415 -- after the measuring
        processor_name,
        total_memory_bytes,
        usable_cores,
    )

    machine: dict[str, Any] = {"processor": processor_name(), "cores": usable_cores()}
    if threads is not None:
        machine["threads"] = threads
    return machine | {"ram_gb": round(total_memory_bytes() / 1e9)}


def this_command(argv: Sequence[str]) -> str:
    """Return a benchmark's command without the flags and folders that only concern this machine.

    >>> this_command(["/home/me/bench/sft.py", "--rounds", "2", "--record"])
    'python bench/sft.py --rounds 2'
    >>> this_command(["sft.py", "--model", "/home/me/models/smollm2"])
    'python bench/sft.py --model smollm2'
    """
    words, rest = ["python", f"bench/{Path(argv[0]).name}"], list(argv[1:])
    while rest:
        skipped = LOCAL_FLAGS.get(rest[0], 0)
        words += rest[: 0 if skipped else 1]
        rest = rest[skipped or 1 :]
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


def main() -> None:
    """Write the page."""
    from results_page import page  # noqa: PLC0415 -- it imports this module

    PAGE.write_text(page(read()), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
