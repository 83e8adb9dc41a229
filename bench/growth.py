"""How upbring's fine-tuning grows: with rows, with the length of documents, with processes.

    python bench/growth.py --rows 1000 10000 100000 1000000 --lengths 128 512 2048 8192

Rows: the same number of steps over files of 1,000 to 1,000,000 rows; memory is to stay flat, for
rows lie on disk. Lengths: the same number of tokens a step, as documents of 128 to 8,192 tokens.
Processes: one with one thread against two with one thread each. All on the shape `tiny`.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import shapes
from interleaved import Measured, Program, in_turns, spread
from results import Figure, add_record_flag, record

BENCH = Path(__file__).resolve().parent
CACHE = BENCH / ".cache"
FIGURE = BENCH / "figures" / "growth.svg"
STEPS = 5
STEP_TOKENS = 8192
SHORT = (8, 16)  # words of a prompt and a response, where rows are counted
MEASURED = ("speed", "peak", "first")

Found = dict[str, list[Measured]]


def program(folder: Path, *also: str) -> Program:
    """Return fine-tuning on the rows of a folder."""
    words = [sys.executable, str(BENCH / "upbring_sft.py"), str(folder), "--dtype", "float32"]
    return Program(folder.name, [*words, "--also", *also], {})


def prepared(name: str, sizes: np.ndarray, *, examples: int, longest: int = 1024) -> Path:
    """Return a folder with a model that reads so many tokens, and rows of these sizes."""
    folder = CACHE / f"growth-{name}"
    if not (folder / "plan.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shapes.CONFIGURATIONS["tiny"].max_position_embeddings = longest
        model = shapes.write_model(folder / "model", "tiny")
        size = model.config.vocab_size
        shapes.write_rows(folder, sizes, steps=STEPS, size=size, examples=examples)
    return folder


def rows(count: int) -> Program:
    """Return five steps over a file of `count` rows."""
    return program(prepared(f"{count}-rows", np.tile(SHORT, (count, 1)), examples=64))


def documents(length: int) -> Program:
    """Return five steps over documents of `length` tokens."""
    examples = STEP_TOKENS // length
    words = length - shapes.NUM_MARKERS
    sizes = np.tile((words // 3, words - words // 3), (STEPS * examples, 1))
    folder = prepared(f"{length}-tokens", sizes, examples=examples, longest=length)
    return program(folder, "--max-length", str(length))


def processes(count: int) -> Program:
    """Return five steps by `count` processes with a thread each."""
    sizes = shapes.lengths(STEPS * 16)
    folder = prepared(f"{count}-processes", sizes, examples=16)
    return program(folder, "--threads", "1", "--processes", str(count))


def measured(programs: Sequence[Program], given: argparse.Namespace) -> Found:
    """Return the measurements of programs, each of which has steps of its own."""
    found: Found = {program.name: [] for program in programs}
    for _ in range(given.rounds):
        for each in programs:
            plan = json.loads((CACHE / each.name / "plan.json").read_text(encoding="utf-8"))
            found[each.name] += in_turns([each], plan["tokens"], rounds=1)[each.name]
    return found


def table(found: Mapping[str, Found]) -> str:
    """Return medians (least–most) in Markdown."""
    lines = ["| case | tokens/s | peak memory, MB | first step, s |", "|---|---|---|---|"]
    for group in found.values():
        for name, each in group.items():
            cells = (str(spread(each, measure)) for measure in MEASURED)
            lines.append(f"| {name.removeprefix('growth-')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def recorded(found: Mapping[str, Found]) -> list[Figure]:
    """Return the figures of all cases."""
    metrics = {
        "speed": ("tokens/s", "useful tokens/s"),
        "peak": ("peak memory", "MB"),
        "first": ("time to first step", "s"),
    }
    return [
        Figure.of(
            "scaling", metric, spread(each, measure), unit,
            model=model_name(group, name), precision="float32", n=len(each),
        )
        for group, cases in found.items()
        for name, each in cases.items()
        for measure, (metric, unit) in metrics.items()
    ]  # fmt: skip


def model_name(group: str, name: str) -> str:
    """Return a case in words.

    >>> model_name("rows", "growth-1000-rows")
    'tiny, file of 1,000 rows'
    """
    count = int(name.split("-")[1])
    if group == "rows":
        return f"tiny, file of {count:,} rows"
    if group == "processes":
        many = "1 process with" if count == 1 else f"{count} processes with"
        return f"tiny, {many} one thread{'' if count == 1 else ' each'}"
    return f"tiny, documents of {count:,} tokens"


def draw(found: Mapping[str, Found], file: Path) -> None:
    """Save, for rows and for lengths, speed and memory as lines over the case."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- large, and only after the measuring

    titles = {"speed": "useful tokens/s", "peak": "peak memory, MB"}
    figure = Figure(figsize=(9, 2.6 * len(found)), layout="constrained")
    panels = figure.subplots(len(found), len(titles), squeeze=False)
    for line, (group, cases) in zip(panels, found.items(), strict=True):
        for panel, (measure, title) in zip(line, titles.items(), strict=True):
            names = [int(name.split("-")[1]) for name in cases]
            spreads = [spread(each, measure) for each in cases.values()]
            panel.fill_between(
                names, [s.least for s in spreads], [s.most for s in spreads], alpha=0.3
            )
            panel.plot(names, [s.median for s in spreads], "o-", color="#2f6f9f")
            panel.set_xscale("log", base=10 if group == "rows" else 2)
            panel.set_ylim(bottom=0)
            panel.set_xlabel(group)
            panel.set_title(title, fontsize=10)
            panel.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--lengths", type=int, nargs="*", default=[128, 512, 2048, 8192])
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    add_record_flag(parser)
    given = parser.parse_args()
    groups = {
        "rows": [rows(count) for count in given.rows],
        "tokens of a document": [documents(length) for length in given.lengths],
        "processes": [processes(count) for count in given.processes],
    }
    found = {name: measured(programs, given) for name, programs in groups.items() if programs}
    print(f"\n{table(found)}")
    if given.record:
        record(recorded(found))
    draw(found, FIGURE)
    print(f"\n{FIGURE}")


if __name__ == "__main__":
    main()
