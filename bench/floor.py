"""Which part of the machine's rate of multiplying fine-tuning reaches, by upbring and by TRL.

    python bench/floor.py --shape tiny small --dtype float32 bfloat16

The floor of LoRA is 4·N operations a token (2·N forwards, 2·N for the gradient of what is read),
of full tuning 6·N, N being the weights that a token is multiplied with, the head's among them; a
step that computes the head for responses only may go below it. The rate is what products of the
model's own widths reach, measured between the programs' turns; its best is taken.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from against_trl import TUNES
from interleaved import Spread, in_turns
from results import Figure, add_record_flag, record
from sft import inputs, programs
from shapes import CONFIGURATIONS
from transformers import AutoModelForCausalLM

QUESTION = "hardware utilization"
TOKENS = 1536  # of a step of the bench, about
OPERATIONS = {"lora": 4, "full": 6}
RATE = """
import sys, time, torch
width, inner, tokens, dtype = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
x = torch.randn(tokens, width).to(getattr(torch, dtype))
w = torch.randn(inner, width).to(getattr(torch, dtype))
best = 0.0
for _ in range(30):
    began = time.perf_counter()
    for _ in range(4):
        x @ w.T
    best = max(best, 4 * 2 * tokens * width * inner / (time.perf_counter() - began))
print(best)
"""


def rate(shape: str, precision: str) -> float:
    """Return the operations a second of the model's own products."""
    config = CONFIGURATIONS[shape]
    sizes = [config.hidden_size, config.intermediate_size, TOKENS]
    words = [sys.executable, "-c", RATE, *map(str, sizes), precision]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def weights(shape: str) -> int:
    """Return how many weights each token is multiplied with."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIGURATIONS[shape])
    matrices = (m for m in model.modules() if isinstance(m, torch.nn.Linear))
    return sum(m.weight.numel() for m in matrices)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", nargs="+", choices=["tiny", "small"], default=["tiny"])
    parser.add_argument("--dtype", nargs="+", choices=["float32", "bfloat16"], required=True)
    parser.add_argument("--tune", choices=sorted(OPERATIONS), default="lora")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="unset: each program's own choice")
    parser.add_argument("--trl-python", type=Path, help="an environment that has TRL already")
    add_record_flag(parser)
    given = parser.parse_args()
    print("| case | weights | operations/s | floor, tokens/s | TRL reaches | upbring reaches |")
    print("|---|---|---|---|---|---|")
    figures: list[Figure] = []
    for shape in given.shape:
        for precision in given.dtype:
            best, shares = measured(given, shape, precision)
            print(line(given, shape, precision, best=best, shares=shares), flush=True)
            case = {"model": f"{shape}, {TUNES[given.tune]}", "precision": precision}
            figures.append(
                Figure(
                    question=QUESTION,
                    metric="matrix products",
                    value=float(f"{best:.4g}"),
                    unit="operations/s",
                    **case,
                )
            )
            figures += [
                Figure.of(QUESTION, f"{name} share of the floor", each, "%", **case, n=given.rounds)
                for name, each in shares.items()
            ]
    if given.record:
        record(figures, threads=given.threads)


def measured(
    given: argparse.Namespace, shape: str, precision: str
) -> tuple[float, dict[str, Spread]]:
    """Return the machine's operations a second, and each program's share of the floor in %."""
    folder, tokens = inputs(shape, given.steps)
    both = programs(given, folder, given.tune, precision)
    found: dict[str, list[float]] = {program.name: [] for program in both}
    best = 0.0
    for _ in range(given.rounds):
        best = max(best, rate(shape, precision))
        for name, measured in in_turns(both, tokens, rounds=1).items():
            found[name].append(measured[0].speed)
    floor = best / (OPERATIONS[given.tune] * weights(shape))
    shares = {n: Spread.of(100 * s / floor for s in each) for n, each in found.items()}
    return best, shares


def line(
    given: argparse.Namespace,
    shape: str,
    precision: str,
    *,
    best: float,
    shares: dict[str, Spread],
) -> str:
    """Return a row of the table."""
    floor = best / (OPERATIONS[given.tune] * weights(shape))
    cells = [f"{s.median:.0f}% ({s.least:.0f}%–{s.most:.0f}%)" for s in shares.values()]
    head = f"| {shape} {given.tune} {precision} | {weights(shape):,} | {best / 1e9:.0f}e9 |"
    return f"{head} {floor:,.0f} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
