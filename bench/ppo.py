"""PPO by TRL 1.12 and by upbring: the same model, reward, prompts, lengths and inner epochs.

A round: 16 prompts, a response of 64 tokens to each, four passes over them. TRL holds a policy with
an adapter, a reward model and a value model that is trained in full; upbring one base with four
roles, and a value with an adapter of its own or a head on the policy's layers. At equal precision
TRL is given upbring's allocator and spared gradient checkpointing, which both favour it; `default`
is as its user would start each. All but memory and the first round leave the first round out,
unless it is the only one (`--updates 1`, enough for memory). Tokens are those of prompts and
responses, each counted once a round.

    python bench/ppo.py --shape tiny --dtype float32 bfloat16 default --value-model adapter trunk
    python bench/ppo.py --shape small --dtype float32 bfloat16 --updates 1 --rounds 1
    python bench/ppo.py --model ./smollm2 --demonstrations dolly.json --dtype float32 --updates 2
"""

import argparse
import functools
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

from interleaved import TUNED_ALLOCATOR, Measured, Program, in_turns, ratio, spread
from results import Figure, add_record_flag, comparison, record
from trl_environment import TRL_WITH_PPO
from trl_environment import python as trl_python

BENCH = Path(__file__).resolve().parent
CACHE = BENCH / ".cache"
PARTS = {
    "round": "s a round",
    "generation": "generation, s",
    "scoring": "scoring, s",
    "update": "update, s",
}
MEASURES = {
    **PARTS,
    "speed": "useful tokens/s",
    "peak": "peak memory, MB",
    "first": "start to end of first round, s",
}


SPEED = "speed against TRL: PPO"
RECORDED = {
    "speed": (SPEED, "speed", "useful tokens/s"),
    "round": (SPEED, "round time", "s"),
    "generation": (SPEED, "generation time", "s"),
    "scoring": (SPEED, "scoring time", "s"),
    "update": (SPEED, "update time", "s"),
    "first": (SPEED, "time to first round", "s"),
    "peak": ("memory against TRL", "peak memory", "MB"),
}


@functools.cache
def prepared(shape: str, rounds: int, demonstrations: Path | None) -> Path:
    """Return the folder with the inputs of a shape or model, written in a process of its own."""
    folder = CACHE / f"ppo-{Path(shape).name}-{rounds}"
    shutil.rmtree(folder, ignore_errors=True)
    words = [sys.executable, BENCH / "ppo_shapes.py", folder, "--rounds", rounds]
    if demonstrations is None:
        words += ["--shape", shape]
    else:
        words += ["--model", shape, "--demonstrations", demonstrations]
    subprocess.run([*map(str, words)], check=True, stderr=subprocess.DEVNULL)
    return folder


def programs(given: argparse.Namespace, folder: Path, precision: str) -> list[Program]:
    """Return TRL, and upbring with each kind of value."""
    case = [str(folder), "--dtype", precision]
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
        *(
            Program(f"upbring, {value}", [*ours, "--value-model", value], {})
            for value in given.value_model
        ),
    ]


def table_rows(case: str, found: dict[str, list[Measured]]) -> list[str]:
    """Return a row for each program; those of upbring say how often less they took than TRL."""
    trl = found["TRL"]
    lines = []
    for name, measured in found.items():
        cells = [case, name]
        for measure in MEASURES:
            cell = str(spread(measured, measure))
            if measured is not trl:  # of all measures but speed less is better
                pair = (measured, trl) if measure == "speed" else (trl, measured)
                cell += f", **{ratio(*pair, measure)}×**"
            cells.append(cell)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def recorded(shape: str, precision: str, found: dict[str, list[Measured]]) -> list[Figure]:
    """Return the figures of a case; ratios are upbring's to TRL's."""
    trl, figures = found["TRL"], list[Figure]()
    for name, ours in found.items():
        if ours is trl:
            continue
        model = f"{Path(shape).name}, value {name.removeprefix('upbring, ')}"
        for measure, (question, what, unit) in RECORDED.items():
            figures += comparison(
                question,
                what,
                unit,
                ours=spread(ours, measure),
                theirs=spread(trl, measure),
                gain=ratio(ours, trl, measure),
                model=f"PPO, {model}" if measure == "peak" else model,
                precision=precision,
                n=len(ours),
            )
    return figures


def a_round_each(folder: Path, rounds: int) -> list[int]:
    """Return the tokens of each round: which prompts a round has is each program's own choice."""
    total = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["tokens"]
    each, rest = divmod(total, rounds)
    return [each + rest, *[each] * (rounds - 1)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    precisions = ["float32", "bfloat16", "default"]
    parser.add_argument("--shape", nargs="+", choices=["tiny", "small"], default=["tiny"])
    parser.add_argument("--model", help="folder of a real model, instead of a shape")
    parser.add_argument("--demonstrations", type=Path, help="whose prompts it is given")
    parser.add_argument("--dtype", nargs="+", choices=precisions, default=precisions)
    values = ["adapter", "trunk"]
    parser.add_argument("--value-model", nargs="+", choices=values, default=values)
    parser.add_argument("--updates", type=int, default=4, help="rounds of rollouts in a process")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each program")
    parser.add_argument("--threads", type=int, help="unset: each program's own choice")
    parser.add_argument("--trl-python", type=Path, help="an environment that has TRL 1.12 already")
    add_record_flag(parser)
    given = parser.parse_args()
    if (given.model is None) != (given.demonstrations is None):
        parser.error("--model and --demonstrations go together")
    if given.model is not None:
        given.shape = [given.model]
    return given


def main() -> None:
    """Measure every case and print a table."""
    given = arguments()
    columns = ["case", "program", *MEASURES.values()]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    figures: list[Figure] = []
    for shape, precision in itertools.product(given.shape, given.dtype):
        folder = prepared(shape, given.updates, given.demonstrations)
        print(f"{shape} {precision}", flush=True)
        tokens = a_round_each(folder, given.updates)
        found = in_turns(programs(given, folder, precision), tokens, rounds=given.rounds)
        lines += table_rows(f"{shape} {precision}", found)
        figures += recorded(shape, precision, found)
    print("\n".join(lines))
    if given.record:
        record(figures, threads=given.threads)


if __name__ == "__main__":
    main()
