"""What comparisons with TRL share: inputs, command lines, the table's cells, flags.

Left out: how programs are measured (`interleaved`), and which cases there are.
"""

import argparse
import functools
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interleaved import MEASURES, TUNED_ALLOCATOR, Measured, farthest, ratio, spread
from results import Figure, add_record_flag, comparison
from trl_environment import python as trl_python

BENCH = Path(__file__).resolve().parent
CACHE = BENCH / ".cache"
TUNES = {"lora": "LoRA", "full": "full"}


@dataclass(frozen=True)
class Commands:
    """The words that start TRL and upbring, and what TRL's environment has besides ours."""

    trl: Sequence[str]
    ours: Sequence[str]
    environment: Mapping[str, str]


@functools.cache
def prepared(name: str, program: str, *words: object) -> Path:
    """Return the folder of inputs of that name, written by a program in a process of its own."""
    folder = CACHE / name
    command = [sys.executable, BENCH / program, folder, *words]
    subprocess.run([*map(str, command)], check=True, stderr=subprocess.DEVNULL)
    return folder


def commands(
    given: argparse.Namespace, name: str, folder: Path, *, tune: str, precision: str
) -> Commands:
    """Return how `trl_{name}.py` and `upbring_{name}.py` are started."""
    case = [str(folder), "--tune", tune, "--dtype", precision]
    trl = [str(given.trl_python or trl_python()), str(BENCH / f"trl_{name}.py"), *case]
    ours = [sys.executable, str(BENCH / f"upbring_{name}.py"), *case]
    environment = {"HF_HUB_OFFLINE": "1"}
    if precision != "default":
        environment |= TUNED_ALLOCATOR
    if given.threads is not None:
        environment["OMP_NUM_THREADS"] = str(given.threads)
        ours += ["--threads", str(given.threads)]
    quantization = getattr(given, "quantization", None)
    if quantization is not None:
        trl += ["--quantization", quantization]
        ours += ["--also", "--quantization", quantization]  # the rest of the command line
    return Commands(trl, ours, environment)


def check(difference: float, precision: str, *, most: float) -> None:
    """Print how far the losses differ, and stop where that is too far: in float32 alone."""
    print(f"  losses differ by {difference:.1e} at most")
    if precision == "float32" and difference > most:
        sys.exit(f"the losses differ by {difference:.1e}: this compares two different things")


def head(*first: str) -> list[str]:
    """Return the first lines of a table in Markdown."""
    columns = [f"{title}: TRL | upbring | ratio" for title in MEASURES.values()]
    rule = "---|" * (len(first) + 3 * len(columns))
    return [f"| {' | '.join([*first, *columns])} |", f"|{rule}"]


def row(first: Sequence[str], trl: Sequence[Measured], ours: Sequence[Measured]) -> str:
    """Return a line of the table: medians (least–most), ratios taken within each round."""
    cells = [*first]
    for measure in MEASURES:
        is_speed = measure == "speed"  # of the other measures less is better
        gain = ratio(ours, trl, measure) if is_speed else ratio(trl, ours, measure)
        cells += [str(spread(trl, measure)), str(spread(ours, measure)), f"**{gain}**"]
    return f"| {' | '.join(cells)} |"


def figures(
    method: str, model: str, precision: str, trl: Sequence[Measured], ours: Sequence[Measured]
) -> list[Figure]:
    """Return the figures of a row, and how far the losses differ; ratios are upbring's to TRL's."""
    found: list[Figure] = []
    speed, every = f"speed against TRL: {method}", f"{method}, {model}"
    for measure, question, name, unit, which in (
        ("speed", speed, "speed", "useful tokens/s", model),
        ("first", speed, "time to first step", "s", model),
        ("peak", "memory against TRL", "peak memory", "MB", every),
    ):
        spreads = {"ours": spread(ours, measure), "theirs": spread(trl, measure)}
        gain = ratio(ours, trl, measure)
        case = {"model": which, "precision": precision, "n": len(ours)}
        found += comparison(question, name, unit, **spreads, gain=gain, **case)
    difference = Figure(
        question="parity of losses",
        metric="largest loss difference",
        value=float(f"{farthest(ours, trl):.1e}"),
        unit="loss",
        model=every,
        precision=precision,
        n=len(ours),
    )
    return [*found, difference]


def flags(description: str | None, *, tune: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser of the flags that all comparisons have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    precisions = ["float32", "bfloat16", "default"]
    parser.add_argument("--shape", nargs="+", choices=["tiny", "small"], default=["tiny"])
    parser.add_argument("--tune", nargs="+", choices=["lora", "full"], default=list(tune))
    parser.add_argument("--dtype", nargs="+", choices=precisions, default=precisions)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="unset: each program's own choice")
    parser.add_argument("--trl-python", type=Path, help="an environment that has TRL already")
    add_record_flag(parser)
    return parser
