"""Functions of the user as metrics, with intervals and paired changes."""

import pytest

from tests.evaluate.scripted import Scripted
from upbring.data.read.prompt_rows import make_prompt_row
from upbring.data.read.records import Message
from upbring.errors import FunctionError, InputError
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.custom_metrics import (
    CustomMetrics,
    check_functions,
    measure_custom_metrics,
)
from upbring.judge.load_function import load_function, make_function
from upbring.maths.statistics import proportion

ROWS = [
    make_prompt_row(f"q.jsonl:{n}", {"answer": str(n + 1)}, (Message("user", f"{n}+1"),))
    for n in range(1, 21)
]
GOOD = Scripted("good", {f"{n}+1": str(n + 1) for n in range(1, 21)})
BAD = Scripted("bad", {f"{n}+1": "none" if n > 4 else str(n + 1) for n in range(1, 21)})


def test_a_share_and_a_mean_have_intervals_and_changes() -> None:
    calls: list[str] = []

    def length(prompt: str, response: str) -> float:
        calls.append(prompt)
        return float(len(response))

    length.higher_is_better = False  # type: ignore[attr-defined]  # an attribute of the user
    functions = [load_function("exact", "metric_function"), make_function(length, "metrics")]
    metrics, cache = CustomMetrics(functions, print), AnswerCache()
    for model in (BAD, GOOD):  # as an evaluation does while a model is in memory
        measure_custom_metrics([model], ROWS, metrics, cache=cache)
    found = measure_custom_metrics([BAD, GOOD], ROWS, metrics, cache=cache)
    assert len(calls) == 36  # four responses of both models are the same
    by_name = {(each.model, each.name): each for each in found}
    exact = by_name["bad", "exact"]
    expected = proportion(4, 20)
    assert (exact.value, exact.low, exact.high) == (expected.value, expected.low, expected.high)
    assert (exact.suite, exact.unit, exact.is_higher_better) == ("custom", "share", True)
    change = by_name["good", "exact_change"]
    assert change.value == pytest.approx(0.8)
    assert (change.low, change.too_few) == (None, 20)  # with ties, 20 pairs are too few
    lengths = by_name["good", "length"]
    assert lengths.value == pytest.approx((8 * 1 + 12 * 2) / 20)
    bounds = [number for number in (lengths.low, lengths.value, lengths.high) if number]
    assert bounds == sorted(set(bounds))
    assert len(bounds) == 3
    assert (lengths.unit, lengths.is_higher_better) == ("score", False)
    assert by_name["good", "length_change"].value == pytest.approx((4 * 0 + 4 * -3 + 12 * -2) / 20)


def test_an_error_names_the_function_and_the_row() -> None:
    def fails(response: str, row: dict[str, str]) -> float:
        return float(row["missing"]) + len(response)

    metrics = CustomMetrics([make_function(fails, "metrics")], print)
    with pytest.raises(FunctionError, match=r"fails: raised KeyError: 'missing' .* q.jsonl:1, "):
        measure_custom_metrics([GOOD], ROWS, metrics, cache=AnswerCache())


def test_metrics_are_checked_before_anything_is_generated() -> None:
    exact = load_function("exact", "metric_function")
    check_functions([exact], ROWS)
    with pytest.raises(InputError, match="metric_function: exact is given twice; rename one"):
        check_functions([exact, exact], ROWS)
    with pytest.raises(InputError, match=r"q.jsonl:1: has no column schema"):
        check_functions([load_function("json_schema", "metric_function")], ROWS)
