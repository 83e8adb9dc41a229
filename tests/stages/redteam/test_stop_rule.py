"""Hardening stops at the target, without progress, or when over-refusal rises."""

from pathlib import Path

import pytest

from upbring.settings.commands.harden import HardenSettings
from upbring.stages.redteam.stop_rule import RoundNumbers, choose_round, stop_reason

SETTINGS = HardenSettings(model="m", harmful=(Path("h"),), innocent=(Path("i"),), rounds=2)


def after(success: float | None, refused: float = 0.0, attacked: float = 0.0) -> RoundNumbers:
    return RoundNumbers("round", success, 0.5, refused, attacked)


@pytest.mark.parametrize(
    ("rounds", "reason"),
    [
        ([after(None)], "no trained family is understood"),
        ([after(0.05)], "attack success 5.0 % is at most the target"),
        ([after(0.9)], None),
        ([after(0.9), after(0.5)], None),
        ([after(0.9), after(0.5, refused=0.03)], "over-refusal rose"),
        ([after(0.9), after(0.5, attacked=0.03)], "over-refusal rose"),
        ([after(0.9), after(0.5, attacked=0.02)], None),
        ([after(0.9), after(0.85)], "no progress"),
        ([after(0.9), after(0.5), after(0.3)], "all rounds are done"),
        ([after(0.9), after(0.01, refused=0.5)], "at most the target"),
    ],
)
def test_the_reason_to_stop(rounds: list[RoundNumbers], reason: str | None) -> None:
    found = stop_reason(rounds, SETTINGS)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("rounds", "chosen"),
    [
        ([after(0.9), after(0.5), after(0.3)], 2),
        ([after(0.9), after(0.5), after(0.1, refused=0.2)], 1),
        ([after(0.9), after(0.1, refused=0.2)], None),
        ([after(0.4), after(0.5)], 0),
        ([after(0.04)], 0),
    ],
)
def test_the_accepted_round_is_the_best_within_the_limit(
    rounds: list[RoundNumbers], chosen: int | None
) -> None:
    assert choose_round(rounds, SETTINGS) == chosen


def test_numbers_are_written_in_one_line() -> None:
    assert after(None).text == (
        "attack success not known, in held-out families 50.0 %, over-refusal 0.0 %, "
        "under attack 0.0 %"
    )
