"""Supervised fine-tuning by TRL and by upbring: the same files, model, examples a step and loss.

Two comparisons: at equal precision (`float32`, `bfloat16`), where TRL is given upbring's allocator
and spared gradient checkpointing, which both favour it; and `default`, as its user would start
each. In float32 the losses of every step must agree to 1e-4. TRL learns the rows in the order in
which upbring draws them, beginning with upbring's adapter. upbring's time to the first step holds
the start of a second Python, some hundredths of a second.

    python bench/sft.py --shape tiny --tune lora full --dtype float32 bfloat16 default
"""

import argparse
import itertools
import json
from pathlib import Path

from against_trl import BENCH, TUNES, check, commands, figures, flags, head, prepared, row
from interleaved import MEASURES, Measured, Program, farthest, in_turns, spread
from results import Figure, record

FIGURE = BENCH / "figures" / "sft.svg"
TOLERANCE = 1e-4  # of a step's loss, in float32
PROGRAMS = ("TRL", "upbring")

Results = dict[tuple[str, str, str], dict[str, list[Measured]]]


def programs(given: argparse.Namespace, folder: Path, tune: str, precision: str) -> list[Program]:
    """Return the two programs under measurement."""
    found = commands(given, "sft", folder, tune=tune, precision=precision)
    return [Program("TRL", found.trl, found.environment), Program("upbring", found.ours, {})]


def inputs(shape: str, steps: int) -> tuple[Path, list[int]]:
    """Return the folder of a shape's model and rows, and the useful tokens of each step."""
    folder = prepared(f"{shape}-{steps}", "shapes.py", "--shape", shape, "--steps", steps)
    return folder, json.loads((folder / "plan.json").read_text(encoding="utf-8"))["tokens"]


def compared(given: argparse.Namespace) -> Results:
    """Return the measurements of every combination that was asked for."""
    results: Results = {}
    for case in itertools.product(given.shape, given.tune, given.dtype):
        shape, tune, precision = case
        folder, tokens = inputs(shape, given.steps)
        print(f"{shape} {tune} {precision}: {given.steps} steps, {sum(tokens):,} useful tokens")
        both = programs(given, folder, tune, precision)
        results[case] = in_turns(both, tokens, rounds=given.rounds)
        difference = farthest(results[case]["upbring"], results[case]["TRL"])
        check(difference, precision, most=TOLERANCE)
    return results


def table(results: Results) -> str:
    """Return the results in Markdown."""
    lines = head("case", "losses differ by")
    for case, found in results.items():
        trl, ours = (found[name] for name in PROGRAMS)
        lines.append(row([" ".join(case), f"{farthest(ours, trl):.0e}"], trl, ours))
    return "\n".join(lines)


def recorded(results: Results) -> list[Figure]:
    """Return the figures of all cases."""
    return [
        figure
        for (shape, tune, precision), found in results.items()
        for figure in figures(
            "SFT", f"{shape}, {TUNES[tune]}", precision, *(found[name] for name in PROGRAMS)
        )
    ]


def draw(results: Results, file: Path) -> None:
    """Save a panel for each measure: medians as bars, least and most as whiskers."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- large, and only after the measuring

    cases = [" ".join(case) for case in results]
    height = 0.38
    figure = Figure(figsize=(11, 1.4 + 0.6 * len(cases)), layout="constrained")
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for panel, (measure, title) in zip(panels, MEASURES.items(), strict=True):
        for number, name in enumerate(PROGRAMS):
            spreads = [spread(found[name], measure) for found in results.values()]
            panel.barh(
                [place + (number - 0.5) * height for place in range(len(cases))],
                [s.median for s in spreads],
                height,
                xerr=[
                    [s.median - s.least for s in spreads],
                    [s.most - s.median for s in spreads],
                ],
                color=("#b9b9b9", "#2f6f9f")[number],
                label=name,
            )
        panel.set_title(title, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(cases)), cases)
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    given = flags(__doc__, tune=("lora", "full")).parse_args()
    found = compared(given)
    print(f"\n{table(found)}")
    if given.record:
        record(recorded(found), threads=given.threads)
    draw(found, FIGURE)
    print(f"\n{FIGURE}")
