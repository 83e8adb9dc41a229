"""Programs measured in turns, A B A B …, so that what else the machine does meets all alike.

A program is a process that ends with one JSON line: its losses, the clock at each step's end, and
how many tokens were not padding; and, if its steps have parts, the seconds of each in every step.
Speed and parts leave the first step out, unless it is the only one; the time to the first step and
the peak memory are the whole process's. Nothing large is imported: a child's peak is never seen
below that of the process that started it.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# What upbring asks of the C library and of torch by itself, as variables for a program that does
# not: freed memory is kept, in huge pages.
TUNED_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(256 * 2**20),
    "THP_MEM_ALLOC_ENABLE": "1",
}
MEASURES = {
    "speed": "useful tokens/s",
    "peak": "peak memory, MB",
    "first": "start to end of first step, s",
}


@dataclass(frozen=True)
class Program:
    """A command line, and what its environment has besides ours."""

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Measured:
    """What one process of a program showed."""

    losses: Sequence[float]
    speed: float  # NaN where only one step was taken
    peak: float
    first: float
    parts: Mapping[str, float] = field(default_factory=dict)  # seconds of a step's parts, medians

    def of(self, measure: str) -> float:
        """Return one of `MEASURES`, or the seconds of a part."""
        return self.parts[measure] if measure in self.parts else float(getattr(self, measure))


@dataclass(frozen=True)
class Spread:
    """Median, least and most of several measurements."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of `values`."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])

    def __str__(self) -> str:
        numbers = (self.median, self.least, self.most)
        median, least, most = (f"{n:,.0f}" if n >= 100 else f"{n:.3g}" for n in numbers)  # noqa: PLR2004 -- three digits
        return f"{median} ({least}–{most})"


def measure(program: Program, tokens: Sequence[int] | None) -> Measured:
    """Run a program once whose steps hold so many useful tokens; None: as many as it says."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began = time.time()
        environment = {**os.environ, **program.environment}
        child = subprocess.Popen(program.words, env=environment, stdout=out, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)  # of the child and what it started itself
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if child.returncode != 0:
            sys.exit(f"{program.name} failed:\n{errors.read()[-4000:]}")
        said = json.loads(out.read().splitlines()[-1])
    if tokens is None:  # it samples them
        tokens = said["step_tokens"]
        said["tokens"] = sum(tokens)
    assert said["tokens"] == sum(tokens), f"{program.name} saw {said['tokens']}, not {sum(tokens)}"
    times = said["times"]
    assert len(times) == len(tokens), f"{program.name} took {len(times)} steps of {len(tokens)}"
    parts = said.get("parts", {})
    return Measured(
        losses=said["losses"],
        speed=sum(tokens[1:]) / (times[-1] - times[0]) if times[1:] else math.nan,
        peak=usage.ru_maxrss / 1024,
        first=times[0] - began,
        parts={name: statistics.median(each[1:] or each) for name, each in parts.items()},
    )


def in_turns(
    programs: Sequence[Program], tokens: Sequence[int] | None, *, rounds: int
) -> dict[str, list[Measured]]:
    """Return each program's measurements, one a round."""
    found: dict[str, list[Measured]] = {program.name: [] for program in programs}
    for turn in range(rounds):
        for program in programs:
            one = measure(program, tokens)
            found[program.name].append(one)
            print(
                f"  round {turn + 1}, {program.name}: {one.speed:,.0f} tokens/s, "
                f"{one.peak:,.0f} MB, first step after {one.first:.1f} s",
                flush=True,
            )
    return found


def spread(measured: Sequence[Measured], measure: str) -> Spread:
    """Return the spread of one of `MEASURES`, or of the seconds of a part."""
    return Spread.of(one.of(measure) for one in measured)


def ratio(of: Sequence[Measured], to: Sequence[Measured], measure: str) -> Spread:
    """Return the spread of the ratio, taken within each round."""
    pairs = zip(of, to, strict=True)
    return Spread.of(one.of(measure) / other.of(measure) for one, other in pairs)


def farthest(of: Sequence[Measured], to: Sequence[Measured]) -> float:
    """Return the largest difference of a step's loss between two programs."""
    pairs = zip(of, to, strict=True)
    steps = (pair for one, other in pairs for pair in zip(one.losses, other.losses, strict=True))
    return max((abs(mine - theirs) for mine, theirs in steps), default=0.0)
