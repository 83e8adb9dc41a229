import numpy as np
import pytest

from upbring.evaluate.paired import mean_results, share_results
from upbring.runs.results import EvalResult

KIND = EvalResult("facts", "", "accuracy", None, is_higher_better=True)


def test_each_has_a_number_and_a_change_from_every_earlier_one() -> None:
    right = {"base": np.array([0.0, 0, 0, 1]), "sft": np.ones(4), "dpo": np.array([1.0, 1, 0, 1])}
    found = list(share_results(KIND, right))
    assert [(n.model, n.name, n.against) for n in found] == [
        ("base", "accuracy", None),
        ("sft", "accuracy", None),
        ("dpo", "accuracy", None),
        ("sft", "accuracy_change", "base"),
        ("dpo", "accuracy_change", "base"),
        ("dpo", "accuracy_change", "sft"),
    ]
    assert [n.value for n in found] == [0.25, 1.0, 0.75, 0.75, 0.5, -0.25]
    assert all((n.low, n.too_few) == (None, 4) for n in found)
    assert all(n.is_higher_better for n in found)


def test_means_are_compared_item_by_item() -> None:
    hard = np.linspace(0, 100, 50)
    noise = np.random.default_rng(0).normal(0, 0.1, 50)
    first, change = list(mean_results(KIND, {"base": hard, "sft": hard + 1 + noise}))[0::2]
    assert first.high is not None
    assert first.low is not None
    assert first.high - first.low > 10
    assert (change.value, change.low, change.high) == pytest.approx((1, 1, 1), abs=0.1)
    assert change.high is not None
    assert change.low is not None
    assert change.high > change.low


def test_no_models_give_no_results() -> None:
    assert list(share_results(KIND, {})) == []
    assert list(mean_results(KIND, {})) == []
