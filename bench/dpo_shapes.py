"""Inputs for the bench of preferences: a model and a tokenizer of `shapes`, pairs or rankings.

Prompts of about 80 tokens, responses of about 120, none longer than 512 together. A ranking has
`--responses` of them; for what knows pairs alone, all its pairs stand in `pairs.jsonl`.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from shapes import (
    CONFIGURATIONS,
    LONGEST,
    NUM_MARKERS,
    SEED,
    SPECIALS,
    SPREAD,
    STEP_EXAMPLES,
    order,
    write_model,
    write_start,
)

PROMPT, RESPONSE = 80, 120


def lengths(count: int, num_responses: int, prompt: int) -> np.ndarray:
    """Return lengths `[count, 1 + K]` of prompts and responses in words."""
    noise = np.random.default_rng(SEED).normal(0, SPREAD, (count, 1 + num_responses))
    medians = np.array([prompt, *[RESPONSE] * num_responses])
    drawn = np.rint(medians * np.exp(noise)).astype(int)
    drawn[:, 0] = drawn[:, 0].clip(1, LONGEST - NUM_MARKERS - RESPONSE)
    drawn[:, 1:] = drawn[:, 1:].clip(1, LONGEST - NUM_MARKERS - drawn[:, :1])
    return drawn


def rankings(sizes: np.ndarray, vocabulary: int) -> list[dict[str, Any]]:
    """Return a ranking for each row of lengths, the best response first."""
    generator = np.random.default_rng(SEED + 1)

    def words(count: int) -> str:
        drawn = generator.integers(0, vocabulary - len(SPECIALS), count)
        return " ".join(f"w{word}" for word in drawn)

    return [
        {
            "prompt": [{"role": "user", "content": words(prompt)}],
            "responses": [words(count) for count in responses],
            "ranks": list(range(1, len(responses) + 1)),
        }
        for prompt, *responses in sizes.tolist()
    ]


def pairs(ranking: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all pairs of a ranking."""
    said = [[{"role": "assistant", "content": text}] for text in ranking["responses"]]
    return [
        {"prompt": ranking["prompt"], "chosen": better, "rejected": worse}
        for better, worse in itertools.combinations(said, 2)
    ]


def write(folder: Path, *, shape: str, steps: int, num_responses: int, prompt: int) -> None:
    """Write everything that a bench of `steps` steps needs."""
    folder.mkdir(parents=True, exist_ok=True)
    model = write_model(folder / "model", shape)
    write_start(folder / "start.safetensors", model)
    write_start(folder / "start-reward.safetensors", model, role="reward")
    sizes = lengths(steps * STEP_EXAMPLES, num_responses, prompt)
    every = rankings(sizes, model.config.vocab_size)
    _lines(folder / "rankings.jsonl", every)
    rows = order(len(sizes), steps)
    _lines(folder / "pairs.jsonl", [p for step in rows for i in step for p in pairs(every[i])])
    # Useful tokens: each response of a pair with its prompt, as TRL computes it, without padding.
    times = num_responses - 1  # that a response is in a pair
    whole = sizes[:, :1] + sizes[:, 1:] + NUM_MARKERS  # [count, K]
    useful = times * whole.sum(1)
    plan = {
        "rows": rows,
        "pairs": STEP_EXAMPLES * num_responses * (num_responses - 1) // 2,
        "tokens": [int(useful[step].sum()) for step in rows],
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def _lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=sorted(CONFIGURATIONS), default="tiny")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--responses", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=PROMPT)
    given = parser.parse_args()
    write(
        given.folder,
        shape=given.shape,
        steps=given.steps,
        num_responses=given.responses,
        prompt=given.prompt,
    )
