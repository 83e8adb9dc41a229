import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import IS_NIGHTLY, trials
from upbring.maths import agreement

# Krippendorff, Computing Krippendorff's alpha-reliability (2011), section C: 4 observers, 12 units
A = [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None]
B = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3]
C = [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None]
D = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]
UNITS = list(zip(A, B, C, D, strict=True))


def test_kappa_equals_the_textbook_value() -> None:
    # 50 proposals, two raters: 20 both yes, 15 both no, 5 and 10 split: κ = (0.7 − 0.5)/0.5
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert agreement.cohen_kappa(first, second) == pytest.approx(0.4)


def test_kappa_is_nan_if_chance_agreement_is_1() -> None:
    assert math.isnan(agreement.cohen_kappa(["a", "a"], ["a", "a"]))
    assert math.isnan(agreement.cohen_kappa([], []))


def test_alpha_equals_the_published_value() -> None:
    assert agreement.krippendorff_alpha(UNITS) == pytest.approx(0.743, abs=5e-4)
    assert agreement.krippendorff_alpha(UNITS, level="ordinal") == pytest.approx(0.815, abs=5e-4)


def test_alpha_is_1_for_perfect_agreement_and_nan_for_a_single_value() -> None:
    assert agreement.krippendorff_alpha([[1, 1], [2, 2], [3, 3]], level="ordinal") == 1
    assert math.isnan(agreement.krippendorff_alpha([[1, 1], [1, 1]]))
    assert math.isnan(agreement.krippendorff_alpha([[1, None], [2]]))


def test_concordant_pairs_are_counted() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.integers(0, 4, 6).astype(float), rng.integers(0, 4, 6).astype(float)
        right, count = 0.0, 0
        for i, j in itertools.combinations(range(6), 2):
            if y[i] == y[j]:
                continue
            count += 1
            right += 0.5 if x[i] == x[j] else float((x[i] < x[j]) == (y[i] < y[j]))
        assert agreement.count_concordant_pairs(x, y) == (right, count)


Units = list[list[float | None]]
RATINGS = st.lists(
    st.lists(st.sampled_from([None, 1.0, 2.0, 3.0, 5.0]), min_size=4, max_size=4),
    min_size=1,
    max_size=6,
)


def naive_alpha(units: Units, distance: Callable[[float, float], float]) -> float:
    """Return 1 − D_o / D_e from all pairs of ratings."""
    rated = [[v for v in unit if v is not None] for unit in units]
    rated = [unit for unit in rated if len(unit) > 1]
    pooled = [v for unit in rated for v in unit]
    n = len(pooled)
    observed = sum(
        distance(unit[i], unit[j]) / (len(unit) - 1)
        for unit in rated
        for i in range(len(unit))
        for j in range(len(unit))
        if i != j
    )
    expected = sum(distance(pooled[i], pooled[j]) for i in range(n) for j in range(n) if i != j)
    return math.nan if not expected else 1 - (observed / n) / (expected / (n * (n - 1)))


def ordinal_distance(units: Units) -> Callable[[float, float], float]:
    pooled = [v for unit in units if sum(v is not None for v in unit) > 1 for v in unit if v]

    def distance(a: float, b: float) -> float:
        low, high = min(a, b), max(a, b)
        between = sum(low <= v <= high for v in pooled)
        ends = (pooled.count(low) + pooled.count(high)) / 2
        return float((between - ends) ** 2) if low != high else 0.0

    return distance


@given(RATINGS)
@settings(max_examples=trials(60, 3000))
def test_alpha_of_each_level_equals_its_definition(units: Units) -> None:
    cases: dict[agreement.Level, Callable[[float, float], float]] = {
        "nominal": lambda a, b: float(a != b),
        "interval": lambda a, b: (a - b) ** 2,
        "ordinal": ordinal_distance(units),
    }
    for level, distance in cases.items():
        expected = naive_alpha(units, distance)
        result = agreement.krippendorff_alpha(units, level=level)
        assert result == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_interval_alpha_equals_the_published_value() -> None:
    assert agreement.krippendorff_alpha(UNITS, level="interval") == pytest.approx(0.849, abs=5e-4)


def test_fleiss_kappa_equals_the_published_value() -> None:
    # Fleiss (1971) as tabulated in Wikipedia, Fleiss' kappa: 10 subjects, 14 raters, κ = 0.210
    table = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    units: Units = [[float(j) for j, n in enumerate(row) for _ in range(n)] for row in table]
    assert agreement.percent_agreement(units) == pytest.approx(0.378, abs=5e-4)
    assert agreement.fleiss_kappa(units) == pytest.approx(0.210, abs=5e-4)


@given(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=1, max_size=6))
@settings(max_examples=trials(60, 3000))
def test_percent_and_fleiss_kappa_equal_their_definitions(units: list[list[int]]) -> None:
    n, N = 3, len(units)
    counts = [[unit.count(j) for j in range(3)] for unit in units]
    agreeing = [Fraction(sum(c * c for c in row) - n, n * (n - 1)) for row in counts]
    observed = sum(agreeing) / N
    shares = [Fraction(sum(row[j] for row in counts), N * n) for j in range(3)]
    by_chance = sum(p * p for p in shares)
    assert agreement.percent_agreement(units) == pytest.approx(float(observed), abs=1e-9)
    kappa = math.nan if by_chance == 1 else float((observed - by_chance) / (1 - by_chance))
    assert agreement.fleiss_kappa(units) == pytest.approx(kappa, abs=1e-9, nan_ok=True)


Rankings = list[list[tuple[int, ...] | None]]
ITEMS = st.lists(
    st.lists(st.one_of(st.none(), st.tuples(*[st.integers(1, 3)] * 3)), min_size=3, max_size=3),
    min_size=1,
    max_size=5,
)


def kendall_distance(first: Sequence[int], second: Sequence[int]) -> float:
    """Return the share of pairs of responses in opposite order; a tie against an order is half."""
    pairs = list(itertools.combinations(range(len(first)), 2))
    off = 0.0
    for i, j in pairs:
        a, b = first[i] - first[j], second[i] - second[j]
        off += 1 if a * b < 0 else 0 if (a == 0) == (b == 0) else 0.5
    return off / len(pairs)


@given(ITEMS)
@settings(max_examples=trials(60, 3000))
def test_the_alpha_of_rankings_is_observed_over_expected_kendall_distance(items: Rankings) -> None:
    rated = [[r for r in item if r is not None] for item in items]
    rated = [item for item in rated if len(item) > 1]
    observed = [
        (len(item), sum(kendall_distance(a, b) for a, b in itertools.permutations(item, 2)))
        for item in rated
    ]
    n = sum(m for m, _ in observed)  # rankings; each has 3 pairs
    result = agreement.ranking_alpha(items)
    signs = [
        (a > b) - (a < b) for item in rated for r in item for a, b in itertools.combinations(r, 2)
    ]
    if not rated or not any(signs):
        assert math.isnan(result)
        return
    ties = signs.count(0) / len(signs)
    # two draws with the same share of ties and random orders, and Krippendorff's n/(n − 1)
    expected = (1 - ties**2) / 2 * (3 * n) / (3 * n - 1)
    mean = sum(total / (m - 1) for m, total in observed) / n
    assert result == pytest.approx(1 - mean / expected, abs=1e-9)


@given(ITEMS, st.permutations(range(3)))
@settings(max_examples=trials(30, 500))
def test_the_alpha_of_rankings_ignores_the_numbers_of_the_responses(
    items: Rankings, order: list[int]
) -> None:
    renumbered = [
        [None if r is None else tuple(r[k] for k in order) for r in item] for item in items
    ]
    before, after = agreement.ranking_alpha(items), agreement.ranking_alpha(renumbered)
    assert before == pytest.approx(after, abs=1e-12, nan_ok=True)


def test_the_alpha_of_rankings_is_1_for_equal_and_negative_for_opposite_rankings() -> None:
    assert agreement.ranking_alpha([[(1, 2, 3), (1, 2, 3)], [(2, 1, 1), (2, 1, 1)]]) == 1
    assert agreement.ranking_alpha([[(1, 2), (2, 1)], [(2, 1), (1, 2)]]) == pytest.approx(-0.5)
    assert math.isnan(agreement.ranking_alpha([[(1, 1), (1, 1)]]))


def test_the_alpha_of_random_rankings_is_near_0() -> None:
    rng = np.random.default_rng(0)
    items = [[tuple(rng.permutation(4)) for _ in range(3)] for _ in range(1000)]
    assert agreement.ranking_alpha(items) == pytest.approx(0, abs=0.03)


@pytest.mark.skipif(not IS_NIGHTLY, reason="compares with other libraries at night")
def test_kappa_and_alpha_equal_those_of_other_libraries() -> None:
    krippendorff = pytest.importorskip("krippendorff")
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    rng = np.random.default_rng(1)
    for _ in range(200):
        ratings = rng.integers(1, 5, (12, 4)).astype(float)
        units = ratings.tolist()
        table, _ = inter_rater.aggregate_raters(ratings.astype(int))
        assert agreement.fleiss_kappa(units) == pytest.approx(
            inter_rater.fleiss_kappa(table), abs=1e-9
        )
        square = np.zeros((5, 5))
        np.add.at(square, (ratings[:, 0].astype(int), ratings[:, 1].astype(int)), 1)
        assert agreement.cohen_kappa(*ratings[:, :2].T.tolist()) == pytest.approx(
            inter_rater.cohens_kappa(square).kappa, abs=1e-9
        )
        ratings[rng.random(ratings.shape) < 0.2] = np.nan
        missing = [[None if np.isnan(v) else v for v in unit] for unit in ratings.tolist()]
        for level in get_args(agreement.Level):
            expected = krippendorff.alpha(reliability_data=ratings.T, level_of_measurement=level)
            assert agreement.krippendorff_alpha(missing, level=level) == pytest.approx(
                expected, abs=1e-9
            )
