"""Rankings that a tiny model learns in a few steps: an answer is better than a refusal."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.small import THINGS, WORDS
from upbring.judge.reward_model import ResponseGroup, ScoreArray

QUICK_REWARD = (
    *("--steps", "6", "--batch-size", "4", "--eval-steps", "3", "--save-steps", "2"),
    *("--held-out-share", "0.2", "--learning-rate", "0.01", "--rank", "4"),
    *("--dtype", "float32", "--threads", "1"),
)


def row(i: int) -> dict[str, object]:
    """Return a ranking of two to four responses, some of them tied."""
    answers = [
        f"It is {WORDS[(i * 3) % 8]}.",
        f"Red {WORDS[i % 8]} red red.",
        "No no no no no.",
        "No no.",
    ][: 2 + i % 3]
    asked = i - i % 2 if i < 8 else i
    ranks = [1, 2, 3, 3][: len(answers)]
    return {
        "prompt": f"What is the {THINGS[asked % 8]} like? ({asked})",
        "responses": answers if i % 2 else answers[::-1],
        "ranks": ranks if i % 2 else ranks[::-1],
        "annotator": f"a{i % 2}",
    }


def make_rankings(path: Path, count: int = 40) -> Path:
    """Write rows of rankings, of which the first prompts are asked twice."""
    path.write_text("".join(json.dumps(row(i)) + "\n" for i in range(count)), encoding="utf-8")
    return path


class Lengths:
    """Scores a response by its length; an empty one has no score."""

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        poll()
        return [np.array([len(r) or math.nan for r in each.responses]) for each in groups]
