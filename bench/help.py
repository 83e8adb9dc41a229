"""How long help takes, in seconds of the processor: the program's, a verb's, and what it rests on.

python bench/help.py --rounds 15
"""

import argparse
import os
import subprocess
import sys

from interleaved import Spread
from results import Figure, add_record_flag, record

ASKED = {
    "upbring --help": ("-m", "upbring", "--help"),
    "upbring sft --help": ("-m", "upbring", "sft", "--help"),
    "import pydantic, rich.table": ("-c", "import pydantic, rich.table"),
}


def used(words: tuple[str, ...]) -> float:
    """Return the processor time of a Python process."""
    before = os.times()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    add_record_flag(parser)
    given = parser.parse_args()
    rounds = [[used(words) for words in ASKED.values()] for _ in range(given.rounds)]
    spreads = {
        name: Spread.of(times) for name, times in zip(ASKED, zip(*rounds, strict=True), strict=True)
    }
    for name, spread in spreads.items():
        print(f"{name:<30} {spread} s")
    if given.record:
        record(
            Figure.of("start-up", f"processor time, {name}", spread, "s", n=given.rounds)
            for name, spread in spreads.items()
        )


if __name__ == "__main__":
    main()
