import itertools
import math

import numpy as np
import pytest

from tests.conftest import trials
from upbring.maths import statistics as st


def test_wilsons_interval_equals_the_published_one() -> None:
    # Newcombe (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29
    for right, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        result = st.proportion(right, count)
        assert result.value == right / count
        assert (result.low, result.high) == pytest.approx((low, high), abs=5e-5)


def test_statistics_of_no_items_are_nan() -> None:
    assert math.isnan(st.proportion(0, 0).value)
    assert math.isnan(st.mean(np.empty(0)).value)
    assert math.isnan(st.ratio(np.ones(2), np.zeros(2)).value)
    empty = np.empty(0, np.int64)
    assert math.isnan(st.within_group_correlation(np.empty(0), np.empty(0), empty).value)
    assert math.isnan(st.bootstrap(lambda _: 1.0, 0).value)


def test_the_bootstrap_of_a_mean_has_the_theoretical_width() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    result = st.mean(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert result.value == pytest.approx(values.mean())
    assert result.value - result.low == pytest.approx(half, rel=0.12)
    assert result.high - result.value == pytest.approx(half, rel=0.12)
    assert result.count == 400


def test_the_bootstrap_matches_all_possible_samples() -> None:
    values = (0.0, 1.0, 2.0, 4.0, 8.0)
    means = [np.mean(s) for s in itertools.product(values, repeat=5)]  # all 3,125
    expected = np.quantile(means, [0.025, 0.975])
    result = st.mean(np.array(values))
    assert (result.low, result.high) == pytest.approx(tuple(expected), abs=0.25)


def test_intervals_contain_the_true_value_at_the_confidence_level() -> None:
    count = trials(200, 2000)
    held = 0
    for trial in range(count):
        values = np.random.default_rng(trial).exponential(1.0, 80)
        result = st.mean(values, seed=trial)
        held += result.low <= 1.0 <= result.high
    assert 0.88 <= held / count <= 0.98


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.arange(30.0)
    assert st.mean(values, seed=4) == st.mean(values, seed=4)
    assert st.mean(values, seed=4) != st.mean(values, seed=5)


def test_a_table_in_parts_has_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "_MAX_TABLE_CELLS", 40)
    tables = list(st._resample_counts(10, 0))
    assert sum(len(t) for t in tables) == st.NUM_RESAMPLES
    assert all((t.sum(1) == 10).all() for t in tables)


def test_a_ratio_resamples_clusters_together() -> None:
    # Each cluster is all correct or all wrong: 40 items have the uncertainty of 4 clusters.
    numerators, denominators = np.array([10.0, 10.0, 0.0, 0.0]), np.full(4, 10.0)
    result = st.ratio(numerators, denominators)
    assert result.value == 0.5
    assert result.high - result.low > 0.7
    alone = st.mean(np.repeat([1.0, 0.0], 20))
    assert alone.high - alone.low < 0.35


def test_a_paired_difference_ignores_common_variation() -> None:
    hard = np.random.default_rng(0).normal(0, 10.0, 100)
    noise = np.random.default_rng(1).normal(0, 0.1, 100)
    result = st.paired_difference(hard + 0.5 + noise, hard)
    assert result.low < 0.5 < result.high
    assert result.high - result.low < 0.1


def test_correlation_is_pearsons_within_groups() -> None:
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(30), 4)
    x = rng.normal(size=120) + 100 * group
    y = rng.normal(size=120) - 50 * group
    xs, ys = [], []
    for g in range(30):
        xs.extend(x[group == g] - x[group == g].mean())
        ys.extend(y[group == g] - y[group == g].mean())
    result = st.within_group_correlation(x, y, group)
    assert result.value == pytest.approx(np.corrcoef(xs, ys)[0, 1], abs=1e-9)
    assert result.low < 0 < result.high
    assert st.within_group_correlation(x, -x, group).value == pytest.approx(-1)
    assert math.isnan(st.within_group_correlation(x, 7.0 * group, group).value)


def test_any_statistic_can_be_bootstrapped() -> None:
    values = np.random.default_rng(2).normal(3.0, 1.0, 200)
    result = st.bootstrap(lambda i: float(np.median(values[i])), 200)
    assert result.value == np.median(values)
    assert result.low < result.value < result.high


def naive_tau_b(x: list[float], y: list[float]) -> float:
    agree = differ = ties_x = ties_y = 0
    for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2):
        one, other = np.sign(a - c), np.sign(b - d)
        agree += one * other > 0
        differ += one * other < 0
        ties_x += one == 0
        ties_y += other == 0
    pairs = len(x) * (len(x) - 1) / 2
    return float((agree - differ) / math.sqrt((pairs - ties_x) * (pairs - ties_y)))


def test_kendalls_tau_b_equals_the_naive_count() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 5, 9).astype(float), rng.integers(0, 5, 9).astype(float)
        assert st.kendall_tau(x, y) == pytest.approx(naive_tau_b(list(x), list(y)))
    assert math.isnan(st.kendall_tau(np.ones(3), np.arange(3.0)))


def test_a_difference_of_shares_equals_the_published_interval() -> None:
    # Agresti & Min (2005), prime minister's ratings: 794, 150, 86, 570 of 1,600: with ½ added,
    # (86 − 150)/1602 ± 1.96·√(237 − 64²/1602)/1602 = −0.0399 ± 0.0188
    before = np.array([1.0] * 794 + [1.0] * 150 + [0.0] * 86 + [0.0] * 570)
    after = np.array([1.0] * 794 + [0.0] * 150 + [1.0] * 86 + [0.0] * 570)
    result = st.proportion_difference(after, before)
    assert result.value == pytest.approx(-64 / 1600)
    assert (result.low, result.high) == pytest.approx((-0.0587, -0.0212), abs=1e-4)


def test_the_interval_has_positive_width_if_no_item_differs() -> None:
    result = st.proportion_difference(np.ones(20), np.ones(20))
    assert result.value == 0
    assert -0.12 < result.low < -0.05
    assert result.high == -result.low
    assert math.isnan(st.proportion_difference(np.empty(0), np.empty(0)).value)


def test_one_item_has_no_interval() -> None:
    result = st.mean(np.array([3.0]))
    assert result.value == 3
    assert math.isnan(result.low)
