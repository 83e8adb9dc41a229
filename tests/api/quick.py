"""Arguments that make a run quick, and rows in memory."""

import json
from typing import Any

from tests.small import THINGS, WORDS

# The settings of `tests.commands.QUICK`, as arguments.
QUICK: dict[str, Any] = {
    "steps": 6,
    "batch_size": 4,
    "eval_steps": 3,
    "save_steps": 2,
    "held_out_share": 0.1,
    "sample_tokens": 4,
    "learning_rate": 0.01,
    "dtype": "float32",
    "threads": 1,
}


def demonstrations(count: int = 12) -> list[dict[str, object]]:
    """Return questions with answers."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is the {THINGS[i % 8]} like? ({i})"},
                {"role": "assistant", "content": f"It is {WORDS[(i * 3) % 8]}."},
            ]
        }
        for i in range(count)
    ]


def json_lines(rows: list[dict[str, object]]) -> str:
    """Return rows as a user would write them to a file: other spaces, escaped letters."""
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
