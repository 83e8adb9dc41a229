"""Reward models by TRL and by upbring: the same files, model, head, pairs a step and loss.

With `--responses 4` upbring learns rankings, all responses to a prompt in one tree, and TRL the
same rankings' six pairs each, every response three times behind its own prompt. Useful tokens are
those that TRL computes without padding. A second table has the speed in rankings, which are the
same work for both; a pair is a ranking of two. Precisions are as in `sft.py`; in float32 the losses
of every step must agree.

    python bench/reward.py --dtype float32 default
    python bench/reward.py --responses 4 --dtype float32
"""

import argparse
import json
from pathlib import Path

from against_trl import commands
from dpo import Results, arguments, compared, format_case, inputs, recorded, table
from interleaved import Program, Spread, ratio
from results import record

AGAINST = {"TRL": "upbring"}
TOLERANCE = 1e-4  # of a step's loss, in float32


def programs(given: argparse.Namespace, folder: Path, tune: str, precision: str) -> list[Program]:
    """Return TRL and upbring."""
    trl = commands(given, "reward", folder, tune=tune, precision=precision)
    ours = commands(given, "dpo", folder, tune=tune, precision=precision).ours
    return [
        Program("TRL", trl.trl, trl.environment),
        Program("upbring", [*ours, "--verb", "reward"], {}),
    ]


def by_rankings(results: Results, steps: int) -> str:
    """Return a table in Markdown of rankings per second, of the steps that speed is of."""
    lines = ["| case | rankings/s: TRL | upbring | ratio |", "|---|---|---|---|"]
    for case, found in results.items():
        shape, responses, prompt, *_ = case
        text = (inputs(shape, responses, prompt, steps) / "plan.json").read_text(encoding="utf-8")
        plan = json.loads(text)
        rows, tokens = (plan[name][1:] or plan[name] for name in ("rows", "tokens"))
        each = sum(map(len, rows)) / sum(tokens)  # rankings a useful token
        trl, ours = (Spread.of(one.speed * each for one in found[n]) for n in ("TRL", "upbring"))
        gain = ratio(found["upbring"], found["TRL"], "speed")
        lines.append(f"| {format_case(case)} | {trl} | {ours} | **{gain}** |")
    return "\n".join(lines)


if __name__ == "__main__":
    given = arguments(__doc__)
    found = compared(given, programs, AGAINST, most=TOLERANCE)
    print(f"\n{table(found, AGAINST)}\n\n{by_rankings(found, given.steps)}")
    if given.record:
        figures = recorded(found, "reward model", AGAINST, {"TRL": "pairs"})
        record(figures, threads=given.threads)
