import math

import pytest

from upbring.report import texts
from upbring.runs.data_file import DataFile
from upbring.runs.results import EvalResult, JudgeQuality
from upbring.runs.source_results import VOTES


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


def test_who_labeled_a_file_is_said_with_the_figures() -> None:
    judge = JudgeQuality("j", "fit", "agrees with 90.0 % of 40 gold pairs")
    results = (
        EvalResult(VOTES, "annotators", "votes", 900.0, unit="count"),
        EvalResult(VOTES, "annotators", "agreement", 0.78, 0.7, 0.85, 90),
        EvalResult(VOTES, "annotators", "alpha", 0.5, unit="alpha"),
        EvalResult("constitution", "m", "words/chosen", 4.0, judge=judge),
    )
    file = DataFile("pairs.jsonl", "s", 3, "preference", results=results)
    people, model = texts.source_lines(file)
    assert people.startswith("labels by people: votes 900, two agree on a pair in 78.0 % (")
    assert "Krippendorff's α 0.5" in people
    assert model == "labels judged by j (fit: agrees with 90.0 % of 40 gold pairs)"
    assert texts.source_lines(DataFile("plain.jsonl", "s", 3, "chat")) == []
