"""Reward models by TRL and by upbring: the same files, model, head, pairs a step and loss.

With `--responses 4` upbring learns rankings, all responses to a prompt in one tree, and TRL the
same rankings' six pairs each, every response three times behind its own prompt. Useful tokens are
those that TRL computes without padding. Precisions are as in `sft.py`; in float32 the losses of
every step must agree.

    python bench/reward.py --precision float32 default
    python bench/reward.py --responses 4 --precision float32
"""

import argparse
from pathlib import Path

from against_trl import commands
from dpo import arguments, compared, table
from interleaved import Program

AGAINST = {"TRL": "upbring"}


def programs(given: argparse.Namespace, folder: Path, tune: str, precision: str) -> list[Program]:
    """Return TRL and upbring."""
    trl = commands(given, "reward", folder, tune=tune, precision=precision)
    ours = commands(given, "dpo", folder, tune=tune, precision=precision).ours
    return [
        Program("TRL", trl.trl, trl.environment),
        Program("upbring", [*ours, "--verb", "reward"], {}),
    ]


if __name__ == "__main__":
    print(f"\n{table(compared(arguments(__doc__), programs, AGAINST), AGAINST)}")
