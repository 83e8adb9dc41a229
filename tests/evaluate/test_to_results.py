import math

from upbring.evaluate.to_results import exact_estimate, format_result, to_result
from upbring.maths.statistics import UNKNOWN, Estimate
from upbring.runs.results import EvalResult

KIND = EvalResult("facts", "sft", "accuracy", None, is_higher_better=True)


def test_an_estimate_becomes_a_number_with_its_interval() -> None:
    found = to_result(Estimate(0.5, 0.4, 0.6, 90), KIND)
    assert (found.value, found.low, found.high, found.count) == (0.5, 0.4, 0.6, 90)
    assert found.is_higher_better
    assert found.note == ""


def test_an_unknown_value_is_null_with_a_note() -> None:
    found = to_result(UNKNOWN, KIND)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert format_result(found) == "not measured: no data"


def test_a_value_without_an_interval_is_formatted_alone() -> None:
    found = to_result(exact_estimate(0.25, 7), KIND)
    assert found.low is None
    assert format_result(found) == "25.0 %"
    assert math.isnan(exact_estimate(0.25, 7).high)
