"""Supervised fine-tuning by TRL and by upbring: the same files, model, examples a step and loss.

Two comparisons: at equal precision (`float32`, `bfloat16`), where TRL is given upbring's allocator
and spared gradient checkpointing, which both favour it; and `default`, as its user would start
each. In float32 the losses of every step must agree to 1e-4. TRL learns the rows in the order in
which upbring draws them, beginning with upbring's adapter. upbring's time to the first step holds
the start of a second Python, some hundredths of a second.

    python bench/sft.py --shape tiny --tune lora full --precision float32 bfloat16 default
"""

import argparse
import functools
import itertools
import json
import subprocess
import sys
from pathlib import Path

from interleaved import (
    MEASURES,
    TUNED_ALLOCATOR,
    Measured,
    Program,
    farthest,
    in_turns,
    ratio,
    spread,
)
from trl_environment import python as trl_python

BENCH = Path(__file__).resolve().parent
CACHE = BENCH / ".cache"
FIGURE = BENCH / "figures" / "sft.svg"
TOLERANCE = 1e-4  # of a step's loss, in float32
PROGRAMS = ("TRL", "upbring")

Results = dict[tuple[str, str, str], dict[str, list[Measured]]]


@functools.cache
def prepared(shape: str, steps: int) -> Path:
    """Return the folder with the inputs of a shape, written in a process of its own."""
    folder = CACHE / f"{shape}-{steps}"
    words = [sys.executable, BENCH / "shapes.py", folder, "--shape", shape, "--steps", steps]
    subprocess.run([*map(str, words)], check=True, stderr=subprocess.DEVNULL)
    return folder


def programs(given: argparse.Namespace, folder: Path, tune: str, precision: str) -> list[Program]:
    """Return the two programs under measurement."""
    case = [str(folder), "--tune", tune, "--precision", precision]
    trl = [str(given.trl_python or trl_python()), str(BENCH / "trl_sft.py"), *case]
    ours = [sys.executable, str(BENCH / "upbring_sft.py"), *case]
    environment = {"HF_HUB_OFFLINE": "1"}
    if precision != "default":
        environment |= TUNED_ALLOCATOR
    if given.threads is not None:
        environment["OMP_NUM_THREADS"] = str(given.threads)
        ours += ["--threads", str(given.threads)]
    return [Program("TRL", trl, environment), Program("upbring", ours, {})]


def compared(given: argparse.Namespace) -> Results:
    """Return the measurements of every combination that was asked for."""
    results: Results = {}
    for case in itertools.product(given.shape, given.tune, given.precision):
        shape, tune, precision = case
        folder = prepared(shape, given.steps)
        tokens = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["tokens"]
        print(f"{shape} {tune} {precision}: {given.steps} steps, {sum(tokens):,} useful tokens")
        both = programs(given, folder, tune, precision)
        results[case] = in_turns(both, tokens, rounds=given.rounds)
        difference = farthest(results[case]["upbring"], results[case]["TRL"])
        print(f"  losses differ by {difference:.1e} at most")
        if precision == "float32" and difference > TOLERANCE:
            sys.exit(f"the losses differ by {difference:.1e}: this compares two different things")
    return results


def table(results: Results) -> str:
    """Return the results in Markdown: medians (least–most), ratios taken within each round."""
    columns = [f"{title}: TRL | upbring | ratio" for title in MEASURES.values()]
    lines = [
        f"| case | losses differ by | {' | '.join(columns)} |",
        f"|{'---|' * (2 + 3 * len(columns))}",
    ]
    for case, found in results.items():
        trl, ours = (found[name] for name in PROGRAMS)
        cells = [" ".join(case), f"{farthest(ours, trl):.0e}"]
        for measure in MEASURES:
            is_speed = measure == "speed"  # of the other measures less is better
            gain = ratio(ours, trl, measure) if is_speed else ratio(trl, ours, measure)
            cells += [str(spread(trl, measure)), str(spread(ours, measure)), f"**{gain}**"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tunes, precisions = ["lora", "full"], ["float32", "bfloat16", "default"]
    parser.add_argument("--shape", nargs="+", choices=["tiny", "small"], default=["tiny"])
    parser.add_argument("--tune", nargs="+", choices=tunes, default=tunes)
    parser.add_argument("--precision", nargs="+", choices=precisions, default=precisions)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="unset: each program's own choice")
    parser.add_argument("--trl-python", type=Path, help="an environment that has TRL already")
    return parser.parse_args()


if __name__ == "__main__":
    found = compared(arguments())
    print(f"\n{table(found)}")
    draw(found, FIGURE)
    print(f"\n{FIGURE}")
