"""`upbring rollouts`: responses token by token, of the last evaluation or of one asked for."""

import json
from pathlib import Path

import pytest

from tests.commands import done, upbring
from upbring.cli.rollouts import color_tokens
from upbring.runs.run_folder import Run

ROWS = [
    {"step": 0, "prompt": "early?", "response": "no", "tokens": ["no"], "kl": [0.0]},
    {"step": 4, "prompt": "a fixed one", "response": "that is answered alone"},
    {
        "step": 4,
        "prompt": "late?",
        "response": "y\x1bes",
        "tokens": ["y\x1b", "es"],
        "kl": [0.5, -0.25],
        "rewards": [0.0, 1.0],
        "advantages": [-2.0, 1.0],
        "values": [0.1, 0.2],
        "reward": 1.0,
    },
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = Run.create(tmp_path / "runs", "ppo")
    run.samples_file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def test_the_last_evaluation_is_shown_with_what_is_known_of_it(folder: Path) -> None:
    out = done(folder, "rollouts", "ppo-1").out
    assert out == "step 4: reward 1, kl 0.25 nats, 2 tokens\nlate?\ny\\x1bes\n\n"


def test_an_evaluation_may_be_asked_for_and_every_number_printed(folder: Path) -> None:
    assert "early?" in done(folder, "rollouts", "runs/ppo-1", "--step", "0").out
    out = done(folder, "rollouts", "ppo-1", "--table").out
    rows = [line.split() for line in out.splitlines()]
    assert ["es", "+1.0000", "-0.2500", "+1.0000", "+0.2000"] in rows


def test_high_is_green_and_low_is_red() -> None:
    text = color_tokens(["bad", "good"], [-2.0, 1.0])
    assert [str(span.style) for span in text.spans] == ["on rgb(160,0,0)", "on rgb(0,80,0)"]
    assert color_tokens(["plain"], []).spans == []


def test_without_rollouts_an_error_says_how_to_get_them(folder: Path) -> None:
    answer = upbring(folder, "rollouts", "ppo-1", "--step", "3")
    assert answer.code == 2
    assert "--step: runs/ppo-1 has no evaluation at step 3; choose one of 0, 4" in answer.err
    Run.create(folder / "runs", "sft")
    assert "has no rollouts; RL runs write" in upbring(folder, "rollouts", "sft-1").err
