"""Corrected shares are those of naive references, and their intervals hold in simulations."""

import itertools
import math

import numpy as np
import pytest

from tests.conftest import IS_NIGHTLY
from upbring.maths.misclassification import (
    PERFECT,
    Confusion,
    Tries,
    corrected_share,
    item_values,
)
from upbring.maths.statistics import FloatArray, proportion


def naive_rogan_gladen(observed: FloatArray, confusion: Confusion) -> float:
    """Return the share as Rogan and Gladen wrote it, from the apparent share."""
    apparent = sum(map(float, observed.ravel())) / observed.size
    s = confusion.true_positives / confusion.positives
    c = confusion.true_negatives / confusion.negatives
    return min(1.0, max(0.0, (apparent + c - 1) / (s + c - 1)))


@pytest.mark.parametrize("successes", [0, 3, 40, 97, 100])
def test_one_try_is_the_formula_of_rogan_and_gladen(successes: int) -> None:
    observed = np.array([[1.0]] * successes + [[0.0]] * (100 - successes))
    confusion = Confusion(90, 100, 160, 200)
    found = corrected_share(observed, confusion, tries="one")
    assert found.value == pytest.approx(naive_rogan_gladen(observed, confusion), abs=1e-12)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("truth", list(itertools.product((0, 1), repeat=3)))
def test_any_of_three_tries_is_unbiased_for_every_truth(truth: tuple[int, ...]) -> None:
    s, c = 0.9, 0.7
    expectation = 0.0
    for seen in itertools.product((0, 1), repeat=3):
        chance = math.prod(
            (s if y else 1 - s) if t else (1 - c if y else c)
            for t, y in zip(truth, seen, strict=True)
        )
        expectation += chance * float(item_values(np.array([seen], float), s, c, "any")[0])
    assert expectation == pytest.approx(float(any(truth)), abs=1e-12)


def test_groups_of_tries_are_averaged_per_item() -> None:
    observed = np.array([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 1.0]]])  # [n=2, F=2, k=2]
    one = item_values(observed, 1.0, 1.0, "one")
    either = item_values(observed, 1.0, 1.0, "any")
    assert one.tolist() == [0.25, 0.75]
    assert either.tolist() == [0.5, 1.0]


def test_without_errors_it_is_the_plain_share_with_a_similar_interval() -> None:
    observed = np.array([[1.0]] * 12 + [[0.0]] * 28)
    found, plain = corrected_share(observed, PERFECT, tries="one"), proportion(12, 40)
    assert found.value == plain.value
    assert found.low == pytest.approx(plain.low, abs=0.01)
    assert found.high == pytest.approx(plain.high, abs=0.01)


def test_too_few_items_have_no_interval_and_a_useless_classifier_no_value() -> None:
    few = corrected_share(np.ones((5, 2)), PERFECT, tries="any")
    assert (few.value, few.too_few) == (1.0, 5)
    assert math.isnan(few.low)
    assert math.isnan(corrected_share(np.ones((30, 1)), Confusion(5, 10, 5, 10), tries="one").value)
    assert corrected_share(np.ones((0, 1)), PERFECT, tries="one").count == 0


# n, tries, success per try (mean of a U-shaped beta distribution), sensitivity, specificity, labels
CASES = [
    (25, 8, 0.02, 0.95, 0.92, 225),
    (25, 1, 0.4, 0.99, 0.99, 1000),
    (60, 8, 0.1, 0.95, 0.92, 225),
    (60, 8, 0.4, 0.9, 0.8, 100),
    (100, 4, 0.9, 0.95, 0.92, 225),
    (100, 4, 0.02, 0.9, 0.8, 100),
]


@pytest.mark.parametrize("tries", ["one", "any"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_intervals_contain_the_truth_in_95_percent(
    case: tuple[int, int, float, float, float, int], tries: Tries
) -> None:
    n, k, mean, s, c, labels = case
    rng = np.random.default_rng(1)
    chances = rng.beta(mean, 1 - mean, 400_000)
    truth = mean if tries == "one" else float(1 - ((1 - chances) ** k).mean())
    num_trials = 2000 if IS_NIGHTLY else 150
    held = 0
    for _ in range(num_trials):
        succeeds = rng.random((n, k)) < rng.beta(mean, 1 - mean, n)[:, None]
        seen = np.where(succeeds, rng.random((n, k)) < s, rng.random((n, k)) >= c).astype(float)
        confusion = Confusion(
            int(rng.binomial(labels, s)), labels, int(rng.binomial(labels, c)), labels
        )
        found = corrected_share(seen, confusion, tries=tries)
        held += found.low <= truth <= found.high
    slack = 4 * math.sqrt(0.05 * 0.95 / num_trials)
    assert held / num_trials >= 0.945 - slack
    if tries == "one":  # with errors, "any" of many tries is known badly, and intervals are wide
        assert held / num_trials <= 0.985 + slack
