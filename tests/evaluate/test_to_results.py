import math

from upbring.evaluate.to_results import exactly, measured, told
from upbring.maths.statistics import UNKNOWN, Estimate
from upbring.runs.results import Measured

KIND = Measured("facts", "sft", "accuracy", None, is_higher_better=True)


def test_an_estimate_becomes_a_number_with_its_interval() -> None:
    found = measured(Estimate(0.5, 0.4, 0.6, 90), KIND)
    assert (found.value, found.low, found.high, found.count) == (0.5, 0.4, 0.6, 90)
    assert found.is_higher_better
    assert found.note == ""


def test_what_is_unknown_is_null_and_says_why() -> None:
    found = measured(UNKNOWN, KIND)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert told(found) == "not measured: nothing to measure it from"


def test_a_number_without_an_interval_is_told_alone() -> None:
    found = measured(exactly(0.25, 7), KIND)
    assert found.low is None
    assert told(found) == "25.0 %"
    assert math.isnan(exactly(0.25, 7).high)
