"""When a round of GRPO needs the log-probabilities of its policy before its steps."""

from pathlib import Path

import pytest

from upbring.settings.methods.grpo import GrpoSettings


@pytest.mark.parametrize(
    ("num_mini_batches", "update_epochs", "expected"),
    [(1, 1, False), (2, 1, True), (1, 2, True)],
)
def test_only_a_second_step_needs_them(
    num_mini_batches: int, update_epochs: int, *, expected: bool
) -> None:
    settings = GrpoSettings(
        model="m",
        prompts=(Path("p.jsonl"),),
        num_mini_batches=num_mini_batches,
        update_epochs=update_epochs,
    )
    assert settings.needs_old_logprobs == expected
