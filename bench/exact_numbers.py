"""GRPO with an exact-number reward, for a model that is sometimes right.

    python bench/exact_numbers.py --model HuggingFaceTB/SmolLM2-135M-Instruct --seeds 0 1 2
    python bench/exact_numbers.py --model ./smollm2 --gsm8k train.jsonl test.jsonl

Sums of one- and two-digit numbers, prompts and held-out sums disjoint. The reward is 1 if the last
number of the response is the sum. Accuracy is that of greedy answers to held-out sums, with 95 %
intervals, before and after. With `--gsm8k` the same for rows of GSM8K and the rule `same_number`:
a model of this size is hardly ever right there, and where no answer of a group is right there is
nothing to learn from.
"""

import argparse
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from results import Figure, add_record_flag, record

import upbring as ub
from upbring.maths.statistics import Estimate, proportion

QUESTION = "exact-number rewards"
NUM_HELD_OUT = 200
LAST_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")

Row = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--gsm8k", type=Path, nargs=2, metavar=("TRAIN", "TEST"))
    add_record_flag(parser)
    given = parser.parse_args()
    if given.gsm8k:
        name, tokens = "GSM8K", 160
        train, held_out = (gsm8k_rows(path) for path in given.gsm8k)
    else:
        name, tokens = "sums", 16
        train, held_out = sums()
    held_out = held_out[:NUM_HELD_OUT]
    before = accuracy(given.model, held_out, max_tokens=tokens)
    print(f"{name}, before: {before.value:.1%} ({before.low:.1%} to {before.high:.1%})", flush=True)
    figures = [Figure.estimated(QUESTION, f"{name}, before", before, "%", model=given.model)]
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            run = ub.grpo(
                given.model,
                prompts=train,
                reward=correct,
                steps=given.steps,
                seed=seed,
                learning_rate=given.learning_rate,
                batch_size=8,
                num_generations=8,
                max_response_length=tokens,
                held_out_share=0,
                eval_steps=given.steps,  # accuracy is measured here
                runs=folder,
            )
            after = accuracy(run, held_out, max_tokens=tokens)
            rewards = [float(str(row["reward"])) for row in run.metrics() if "reward" in row]
        first, last = mean(rewards[:5]), mean(rewards[-5:])
        print(
            f"{name}, seed {seed}: {after.value:.1%} ({after.low:.1%} to {after.high:.1%}); reward "
            f"of the first and last five steps {first:.2f}, {last:.2f}",
            flush=True,
        )
        metric = f"{name}, after {given.steps} steps, seed {seed}"
        figures.append(Figure.estimated(QUESTION, metric, after, "%", model=given.model))
    if given.record:
        record(figures)


def sums() -> tuple[list[Row], list[Row]]:
    """Return rows to train on, and other rows."""
    pairs = [(a, b) for a in range(1, 100) for b in range(1, 10)]
    order = np.random.default_rng(0).permutation(len(pairs))
    rows = [
        {"prompt": f"What is {a} + {b}? Answer with the number only.", "answer": str(a + b)}
        for a, b in (pairs[i] for i in order)
    ]
    return rows[NUM_HELD_OUT:], rows[:NUM_HELD_OUT]


def gsm8k_rows(path: Path) -> list[Row]:
    """Return the questions of a GSM8K file, each with the number after `####`."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {"prompt": row["question"], "answer": row["answer"].rpartition("####")[2].strip()}
        for row in rows
    ]


def correct(response: str, row: Mapping[str, str]) -> float:
    """Return 1 if the response's last number is the row's answer."""
    return float(last_number(response) == last_number(row["answer"]))


def last_number(text: str) -> float | None:
    """Return the last number in a text.

    >>> last_number("7 + 5 = 12."), last_number("1,234 apples"), last_number("none")
    (12.0, 1234.0, None)
    """
    found = LAST_NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def accuracy(model: str | ub.Run, rows: Sequence[Row], *, max_tokens: int) -> Estimate:
    """Return the share of greedy answers that are right."""
    responses = ub.load(model).generate(
        [row["prompt"] for row in rows], max_tokens=max_tokens, temperature=0.0
    )
    num_right = sum(correct(text, row) for text, row in zip(responses, rows, strict=True))
    return proportion(num_right, len(rows))


def mean(values: Sequence[float]) -> float:
    """Return the mean of some numbers."""
    return sum(values) / max(1, len(values))


if __name__ == "__main__":
    main()
