"""DPO by TRL and by upbring: the same files, model, pairs a step and loss.

TRL asks its reference in each step, as it comes, or once before the first (`precomputed`); upbring
always asks it once. Against TRL as it comes, upbring's pass over the data is counted as time of its
steps; against TRL's precomputed reference neither pass is, and both stand in the time to the first
step. With `--responses 4` upbring learns rankings, and TRL the same rankings' six pairs each.

Equal precision and `default` are as in `sft.py`. Useful tokens are those that TRL computes without
padding: a prompt for each response of a pair. In float32 the losses of every step must agree.

    python bench/dpo.py --shape tiny --dtype float32 bfloat16 default
    python bench/dpo.py --responses 4 --dtype float32
    python bench/dpo.py --prompt 20 80 160 320 --dtype float32
"""

import argparse
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from against_trl import TUNES, check, commands, figures, flags, head, prepared, row
from interleaved import Measured, Program, farthest, in_turns
from results import Figure, record

TOLERANCE = 2e-4  # of a step's loss, in float32
AGAINST = {"TRL": "upbring with its pass", "TRL, precomputed": "upbring"}

WHICH = {"TRL": "with the reference pass", "TRL, precomputed": "reference precomputed"}
PROMPT = 80  # median tokens, unless asked for

Case = tuple[str, int, int, str, str]  # shape, responses, prompt, tune, precision
Results = dict[Case, dict[str, list[Measured]]]
Programs = Callable[[argparse.Namespace, Path, str, str], list[Program]]


def inputs(shape: str, responses: int, prompt: int, steps: int) -> Path:
    """Return the folder with the inputs of a case."""
    words = ("--shape", shape, "--steps", steps, "--responses", responses, "--prompt", prompt)
    return prepared(f"dpo-{shape}-{responses}-{prompt}-{steps}", "dpo_shapes.py", *words)


def programs(given: argparse.Namespace, folder: Path, tune: str, precision: str) -> list[Program]:
    """Return TRL and upbring, each in its two forms."""
    found = commands(given, "dpo", folder, tune=tune, precision=precision)
    return [
        Program("TRL", found.trl, found.environment),
        Program("upbring with its pass", [*found.ours, "--spread-reference"], {}),
        Program("TRL, precomputed", [*found.trl, "--precompute"], found.environment),
        Program("upbring", found.ours, {}),
    ]


def compared(
    given: argparse.Namespace,
    programs: Programs = programs,
    against: Mapping[str, str] = AGAINST,
    *,
    most: float = TOLERANCE,
) -> Results:
    """Return the measurements of every combination; in float32 losses differ by `most` at most."""
    results: Results = {}
    for case in itertools.product(
        given.shape, given.responses, given.prompt, given.tune, given.dtype
    ):
        shape, responses, prompt, tune, precision = case
        folder = inputs(shape, responses, prompt, given.steps)
        tokens = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["tokens"]
        print(f"{format_case(case)}: {given.steps} steps, {sum(tokens):,} useful tokens")
        every = programs(given, folder, tune, precision)
        results[case] = found = in_turns(every, tokens, rounds=given.rounds)
        difference = max(farthest(found[ours], found[trl]) for trl, ours in against.items())
        check(difference, precision, most=most)
    return results


def format_case(case: Case) -> str:
    """Return a case in words.

    >>> format_case(("tiny", 4, 80, "lora", "float32"))
    'tiny lora float32, prompts of 80, 4 responses'
    """
    shape, responses, prompt, tune, precision = case
    return f"{shape} {tune} {precision}, prompts of {prompt}, {responses} responses"


def table(results: Results, against: Mapping[str, str] = AGAINST) -> str:
    """Return the results in Markdown."""
    lines = head("case", "against")
    for case, found in results.items():
        lines += [
            row([format_case(case), name], found[name], found[mine])
            for name, mine in against.items()
        ]
    return "\n".join(lines)


def recorded(
    results: Results, method: str, against: Mapping[str, str], which: Mapping[str, str]
) -> list[Figure]:
    """Return the figures of all cases; `which` names what is compared with each TRL."""
    found: list[Figure] = []
    for (shape, responses, prompt, tune, precision), each in results.items():
        model = f"{shape}, {TUNES[tune]}"
        model += f", prompts of {prompt}" if prompt != PROMPT else ""
        for trl, ours in against.items():
            kind, is_ranking = which[trl], responses > 2  # noqa: PLR2004 -- a pair
            if is_ranking:
                rankings = f"rankings of {responses}"
                kind = rankings if kind == "pairs" else f"{kind}, {rankings}"
            found += figures(method, f"{model}, {kind}", precision, each[trl], each[ours])
    return found


def arguments(description: str | None) -> argparse.Namespace:
    parser = flags(description, tune=("lora",))
    parser.add_argument("--responses", nargs="+", type=int, default=[2])
    parser.add_argument("--prompt", nargs="+", type=int, default=[PROMPT], help="median tokens")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments(__doc__)
    found = compared(given)
    print(f"\n{table(found)}")
    if given.record:
        record(recorded(found, "DPO", AGAINST, WHICH), threads=given.threads)
