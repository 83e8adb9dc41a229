import math

import pytest

from upbring.report import texts
from upbring.runs.results import EvalResult


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.0, "share", "0.0 %"),
        (-0.25, "share", "−25.0 %"),
        (0.00002, "", "2.0e−05"),
        (1234567.0, "", "1,234,567"),
        (-3.14159, "", "−3.14"),
        (30.0, "", "30"),
        (0.0, "", "0"),
        (math.nan, "", "–"),
    ],
)
def test_numbers_are_short_and_carry_their_unit(value: float, unit: str, expected: str) -> None:
    assert texts.format_number(value, unit) == expected


def test_an_interval_is_shown_if_there_is_one() -> None:
    share = EvalResult("facts", "m", "accuracy", 0.5, 0.411, 0.589)
    assert texts.format_interval(share) == "41.1 … 58.9"
    assert texts.format_interval(EvalResult("facts", "m", "accuracy", 0.5)) == ""
    assert texts.format_signed(None) == "–"


def test_every_suite_has_a_title() -> None:
    assert texts.title("refusals", texts.SUITE_TITLES) == "Refusals"
    assert texts.title("my_own", texts.SUITE_TITLES) == "my own"
    assert texts.join_names([]) == ""
