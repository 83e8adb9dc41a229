"""PPO by TRL 1.12 and by upbring: the same model, reward, prompts, lengths and inner epochs.

A round: 16 prompts, a response of 64 tokens to each, four passes over them. TRL holds a policy with
an adapter, a reward model and a value model that is trained in full; upbring one base with four
roles. At equal precision TRL is given upbring's allocator and spared gradient checkpointing, which
both favour it; `default` is as its user would start each. Speed leaves the first round out.

    python bench/ppo.py --shape tiny --precision float32 bfloat16 default --value adapter trunk
"""

import argparse
import functools
import itertools
import subprocess
import sys
from pathlib import Path

from interleaved import MEASURES, TUNED_ALLOCATOR, Measured, Program, in_turns, ratio, spread
from trl_environment import TRL_WITH_PPO
from trl_environment import python as trl_python

BENCH = Path(__file__).resolve().parent
CACHE = BENCH / ".cache"
TOKENS = 16 * 64  # drawn in a round


@functools.cache
def prepared(shape: str, rounds: int) -> Path:
    """Return the folder with the inputs of a shape, written in a process of its own."""
    folder = CACHE / f"ppo-{shape}-{rounds}"
    words = [sys.executable, BENCH / "ppo_shapes.py", folder, "--shape", shape, "--rounds", rounds]
    subprocess.run([*map(str, words)], check=True, stderr=subprocess.DEVNULL)
    return folder


def programs(given: argparse.Namespace, folder: Path, precision: str) -> list[Program]:
    """Return TRL, and upbring with each kind of value."""
    case = [str(folder), "--precision", precision]
    environment = {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    if precision != "default":
        environment |= TUNED_ALLOCATOR
    threads: list[str] = []
    if given.threads is not None:
        environment["OMP_NUM_THREADS"] = str(given.threads)
        threads = ["--threads", str(given.threads)]
    trl = [str(given.trl_python or trl_python(TRL_WITH_PPO)), str(BENCH / "trl_ppo.py"), *case]
    ours = [sys.executable, str(BENCH / "upbring_ppo.py"), *case, *threads]
    return [
        Program("TRL", trl, environment),
        *(Program(f"upbring, {value}", [*ours, "--value", value], {}) for value in given.value),
    ]


def told(case: str, found: dict[str, list[Measured]]) -> list[str]:
    """Return a row for each of upbring's programs: TRL's measure, ours, and the gain."""
    lines = []
    trl = found["TRL"]
    for name, ours in found.items():
        if name == "TRL":
            continue
        cells = [f"{case}, {name}"]
        for measure in MEASURES:
            is_speed = measure == "speed"  # of the other measures less is better
            gain = ratio(ours, trl, measure) if is_speed else ratio(trl, ours, measure)
            cells += [str(spread(trl, measure)), str(spread(ours, measure)), f"**{gain}**"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    precisions = ["float32", "bfloat16", "default"]
    parser.add_argument("--shape", nargs="+", choices=["tiny", "small"], default=["tiny"])
    parser.add_argument("--precision", nargs="+", choices=precisions, default=precisions)
    values = ["adapter", "trunk"]
    parser.add_argument("--value", nargs="+", choices=values, default=values)
    parser.add_argument("--updates", type=int, default=4, help="rounds of rollouts in a process")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each program")
    parser.add_argument("--threads", type=int, help="unset: each program's own choice")
    parser.add_argument("--trl-python", type=Path, help="an environment that has TRL 1.12 already")
    return parser.parse_args()


def main() -> None:
    """Measure every case and print a table."""
    given = arguments()
    columns = [f"{title}: TRL | upbring | ratio" for title in MEASURES.values()]
    lines = [f"| case | {' | '.join(columns)} |", "|---" * (1 + 3 * len(MEASURES)) + "|"]
    for shape, precision in itertools.product(given.shape, given.precision):
        folder = prepared(shape, given.updates)
        print(f"{shape} {precision}", flush=True)
        tokens = [TOKENS] * given.updates
        found = in_turns(programs(given, folder, precision), tokens, rounds=given.rounds)
        lines += told(f"{shape} {precision}", found)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
