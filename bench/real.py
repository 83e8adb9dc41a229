"""A real model trained by TRL 1.16 and by upbring: the same rows, steps, rank and learning rate.

Per model and method, interleaved: useful tokens/s, peak memory, time to the first step. In float32
the loss of each step must agree; no row is seen twice, so each step's loss is also one on rows that
nothing was trained on yet. `--parity` runs one round of 50 steps and compares the mean of the last
10 steps (0.01 nats); no time is recorded. GRPO samples, so that only its speed is compared.

`--demonstrations` and `--preferences` are your own copies of real data, such as dolly and hh-rlhf.
An environment for TRL is made when missing (`trl_environment.py`), or given with `--trl-python`.

    python bench/real.py --model ./smollm2 --method sft reward dpo grpo --dtype float32
        --demonstrations dolly.json --preferences hh.jsonl.gz --steps 9 --rounds 3
    python bench/real.py --model ./smollm2 --method sft --parity --demonstrations dolly.json
    python bench/real.py --model ./smollm2 --method sft --parity --quantization nf4
        --max-length 128 --demonstrations dolly.json
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dpo
import reward
import sft
from against_trl import check, commands, figures, head, prepared, row
from interleaved import Measured, Program, farthest, in_turns
from results import Figure, add_record_flag, record

PARITY_STEPS, PARITY_LAST, PARITY_MOST = 50, 10, 0.01
PRECISIONS = ["float32", "bfloat16", "default"]

Programs = Callable[[argparse.Namespace, Path, str, str], list[Program]]


def grpo_programs(given: argparse.Namespace, folder: Path, tune: str, kind: str) -> list[Program]:
    """Return both tools' GRPO."""
    found = commands(given, "grpo", folder, tune=tune, precision=kind)
    return [Program("TRL", found.trl, found.environment), Program("upbring", found.ours, {})]


@dataclass(frozen=True)
class Method:
    """How a method is measured."""

    title: str
    data: str  # the flag of its rows
    programs: Programs
    against: Mapping[str, str]  # TRL's programs, and ours for each
    most: float | None  # that a step's loss may differ in float32


METHODS = {
    "sft": Method("SFT", "demonstrations", sft.programs, {"TRL": "upbring"}, 1e-3),
    "reward": Method("reward model", "preferences", reward.programs, {"TRL": "upbring"}, 1e-3),
    "dpo": Method("DPO", "preferences", dpo.programs, dpo.AGAINST, 2e-3),
    "grpo": Method("GRPO", "demonstrations", grpo_programs, {"TRL": "upbring"}, None),
}


def inputs(given: argparse.Namespace, method: str) -> tuple[Path, list[int] | None]:
    """Return the folder of a method's model and rows, and the useful tokens of each step."""
    data = getattr(given, METHODS[method].data)
    if data is None:
        sys.exit(f"--method {method} needs --{METHODS[method].data}")
    words = ("--model", given.model, "--data", data, "--method", method, "--steps", given.steps)
    name = f"real-{given.model.name}-{method}-{given.steps}-{given.max_length}"
    folder = prepared(name, "real_rows.py", *words, "--max-length", given.max_length)
    if method == "grpo":
        return folder, None
    return folder, json.loads((folder / "plan.json").read_text(encoding="utf-8"))["tokens"]


def last_losses(measured: Sequence[Measured]) -> float:
    """Return the mean loss of the last steps, of rows that nothing was trained on."""
    return statistics.mean(measured[0].losses[-PARITY_LAST:])


def parity(
    method: Method,
    found: Mapping[str, Sequence[Measured]],
    model: str,
    *,
    quantization: str | None,
) -> list[Figure]:
    """Print and return how far the losses on unseen rows are from each other; stop if too far."""
    trl, ours = next(iter(method.against.items()))
    difference = abs(last_losses(found[trl]) - last_losses(found[ours]))
    print(
        f"  loss of the last {PARITY_LAST} of {len(found[ours][0].losses)} steps: "
        f"TRL {last_losses(found[trl]):.4f}, upbring {last_losses(found[ours]):.4f}"
    )
    if difference > PARITY_MOST:
        sys.exit(f"{method.title}: they differ by {difference:.4f}, more than {PARITY_MOST}")
    return [
        Figure(
            question="parity of losses",
            metric=f"loss on unseen rows after {PARITY_STEPS} steps, difference",
            value=round(difference, 5),
            unit="nats",
            model=f"{method.title}, {model}" + (f", {quantization}" if quantization else ""),
        )
    ]


def measure(given: argparse.Namespace, name: str, precision: str) -> tuple[list[str], list[Figure]]:
    """Return the table's lines and the figures of a method."""
    method, model = METHODS[name], given.model.name
    folder, tokens = inputs(given, name)
    print(f"{model} {name} {precision}: {given.steps} steps", flush=True)
    programs = method.programs(given, folder, "lora", precision)
    found = in_turns(programs, tokens, rounds=given.rounds)
    if method.most is not None:
        difference = max(farthest(found[o], found[t]) for t, o in method.against.items())
        check(difference, precision, most=method.most)
    lines, collected = [], []
    for trl, ours in method.against.items():
        lines.append(row([f"{model} {name} {precision}", trl], found[trl], found[ours]))
        which = f"{model}, LoRA" + (f" on {given.quantization}" if given.quantization else "")
        which += "" if trl == "TRL" else ", reference precomputed"
        new = figures(method.title, which, precision, found[trl], found[ours])
        collected += [f for f in new if method.most is not None or "loss" not in f.metric]
    if given.parity and method.most is not None:  # one round is no measurement of time
        collected = parity(method, found, model, quantization=given.quantization)
    return lines, collected


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--method", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--demonstrations", type=Path, help="rows for sft, prompts for grpo")
    parser.add_argument("--preferences", type=Path, help="rows for reward and dpo")
    parser.add_argument("--dtype", nargs="+", choices=PRECISIONS, default=["float32"])
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--parity", action="store_true", help=f"one round of {PARITY_STEPS} steps")
    parser.add_argument("--quantization", choices=["nf4"], help="of the base, for sft in float32")
    parser.add_argument("--threads", type=int, help="unset: each program's own choice")
    parser.add_argument("--trl-python", type=Path, help="an environment that has TRL already")
    add_record_flag(parser)
    given = parser.parse_args()
    if given.parity:
        given.steps, given.rounds = PARITY_STEPS, 1
    if given.quantization and (given.method != ["sft"] or given.dtype != ["float32"]):
        parser.error("--quantization: is for --method sft --dtype float32")
    lines, collected = head("case", "against"), []
    for method in given.method:
        for precision in given.dtype:
            new_lines, new_figures = measure(given, method, precision)
            lines += new_lines
            collected += new_figures
            if given.record:  # after each case, so that nothing is lost
                record(new_figures, threads=given.threads)
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
