"""DPO by TRL and by upbring: the same files, model, pairs a step and loss.

TRL asks its reference in each step, as it comes, or once before the first (`precomputed`); upbring
always asks it once. Against TRL as it comes, upbring's pass over the data is counted as time of its
steps; against TRL's precomputed reference neither pass is, and both stand in the time to the first
step. With `--responses 4` upbring learns rankings, and TRL the same rankings' six pairs each.

Equal precision and `default` are as in `sft.py`. Useful tokens are those that TRL computes without
padding: a prompt for each response of a pair. In float32 the losses of every step must agree.

    python bench/dpo.py --shape tiny --precision float32 bfloat16 default
    python bench/dpo.py --responses 4 --precision float32
    python bench/dpo.py --prompt 20 80 160 320 --precision float32
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
TOLERANCE = 2e-4  # of a step's loss, in float32
AGAINST = {"TRL": "upbring with its pass", "TRL, precomputed": "upbring"}

Case = tuple[str, int, int, str, str]  # shape, responses, prompt, tune, precision
Results = dict[Case, dict[str, list[Measured]]]


@functools.cache
def prepared(shape: str, responses: int, prompt: int, steps: int) -> Path:
    """Return the folder with the inputs of a case, written in a process of its own."""
    folder = CACHE / f"dpo-{shape}-{responses}-{prompt}-{steps}"
    words = [sys.executable, BENCH / "dpo_shapes.py", folder, "--shape", shape, "--steps", steps]
    words += ["--responses", responses, "--prompt", prompt]
    subprocess.run([*map(str, words)], check=True, stderr=subprocess.DEVNULL)
    return folder


def programs(given: argparse.Namespace, folder: Path, tune: str, precision: str) -> list[Program]:
    """Return TRL and upbring, each in its two forms."""
    case = [str(folder), "--tune", tune, "--precision", precision]
    trl = [str(given.trl_python or trl_python()), str(BENCH / "trl_dpo.py"), *case]
    ours = [sys.executable, str(BENCH / "upbring_dpo.py"), *case]
    environment = {"HF_HUB_OFFLINE": "1"}
    if precision != "default":
        environment |= TUNED_ALLOCATOR
    if given.threads is not None:
        environment["OMP_NUM_THREADS"] = str(given.threads)
        ours += ["--threads", str(given.threads)]
    return [
        Program("TRL", trl, environment),
        Program("upbring with its pass", [*ours, "--spread-reference"], {}),
        Program("TRL, precomputed", [*trl, "--precompute"], environment),
        Program("upbring", ours, {}),
    ]


def compared(given: argparse.Namespace) -> Results:
    """Return the measurements of every combination that was asked for."""
    results: Results = {}
    for case in itertools.product(
        given.shape, given.responses, given.prompt, given.tune, given.precision
    ):
        shape, responses, prompt, tune, precision = case
        folder = prepared(shape, responses, prompt, given.steps)
        tokens = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["tokens"]
        print(f"{told(case)}: {given.steps} steps, {sum(tokens):,} useful tokens")
        four = programs(given, folder, tune, precision)
        results[case] = found = in_turns(four, tokens, rounds=given.rounds)
        difference = max(farthest(found[ours], found[trl]) for trl, ours in AGAINST.items())
        print(f"  losses differ by {difference:.1e} at most")
        if precision == "float32" and difference > TOLERANCE:
            sys.exit(f"the losses differ by {difference:.1e}: this compares two different things")
    return results


def told(case: Case) -> str:
    """Return a case in words.

    >>> told(("tiny", 4, 80, "lora", "float32"))
    'tiny lora float32, prompts of 80, 4 responses'
    """
    shape, responses, prompt, tune, precision = case
    return f"{shape} {tune} {precision}, prompts of {prompt}, {responses} responses"


def table(results: Results) -> str:
    """Return the results in Markdown: medians (least–most), ratios taken within each round."""
    columns = [f"{title}: TRL | upbring | ratio" for title in MEASURES.values()]
    lines = [f"| case | against | {' | '.join(columns)} |", f"|{'---|' * (2 + 3 * len(columns))}"]
    for case, found in results.items():
        for name, mine in AGAINST.items():
            trl, ours = found[name], found[mine]
            cells = [told(case), name]
            for measure in MEASURES:
                is_speed = measure == "speed"  # of the other measures less is better
                gain = ratio(ours, trl, measure) if is_speed else ratio(trl, ours, measure)
                cells += [str(spread(trl, measure)), str(spread(ours, measure)), f"**{gain}**"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    precisions = ["float32", "bfloat16", "default"]
    parser.add_argument("--shape", nargs="+", choices=["tiny", "small"], default=["tiny"])
    parser.add_argument("--responses", nargs="+", type=int, default=[2])
    parser.add_argument("--prompt", nargs="+", type=int, default=[80], help="median tokens")
    parser.add_argument("--tune", nargs="+", choices=["lora", "full"], default=["lora"])
    parser.add_argument("--precision", nargs="+", choices=precisions, default=precisions)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="unset: each program's own choice")
    parser.add_argument("--trl-python", type=Path, help="an environment that has TRL already")
    return parser.parse_args()


if __name__ == "__main__":
    print(f"\n{table(compared(arguments()))}")
