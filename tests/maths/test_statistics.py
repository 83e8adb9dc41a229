import itertools
import math

import numpy as np
import pytest

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


def test_the_interval_of_a_mean_has_the_theoretical_width() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    result = st.mean(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert result.value == pytest.approx(values.mean())
    assert result.value - result.low == pytest.approx(half, rel=0.03)
    assert result.high - result.value == pytest.approx(half, rel=0.03)
    assert result.count == 400


def test_a_mean_of_ones_has_the_interval_of_the_share() -> None:
    # The quantiles of resamples of 20 equal values would be 1 … 1.
    for found in (st.mean(np.ones(20)), st.share(np.ones(20)), st.ratio(np.ones(20), np.ones(20))):
        assert (found.value, found.high) == (1, 1)
        assert found.low == pytest.approx(0.8389, abs=1e-4)  # Wilson, 20 of 20


def test_a_ratio_takes_clusters_together() -> None:
    # Each cluster is all correct or all wrong: 400 items have the uncertainty of 40 clusters.
    numerators, denominators = np.repeat([10.0, 0.0], 20), np.full(40, 10.0)
    result = st.ratio(numerators, denominators)
    assert result.value == 0.5
    assert result.high - result.low == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 40), rel=0.15)
    alone = st.mean(np.repeat([1.0, 0.0], 200))
    assert alone.high - alone.low < 0.11
    all_right = st.share_of_counts(denominators, denominators)
    assert all_right.low == pytest.approx(st.proportion(40, 40).low)


def test_a_ratio_of_measured_values_is_not_a_share() -> None:
    rng = np.random.default_rng(1)
    tokens = rng.integers(50, 150, 60).astype(float)
    found = st.ratio(tokens * 0.5, tokens)  # the same loss everywhere
    assert found.value == pytest.approx(0.5)
    nothing = st.ratio(np.zeros(60), tokens)  # two equal models
    assert nothing.value == 0
    assert not nothing.high > 0


def test_fewer_than_twenty_items_are_too_few() -> None:
    few = np.random.default_rng(0).normal(size=19)
    for found in (
        st.proportion(10, 10),
        st.share(np.full(19, 0.5)),
        st.mean(few),
        st.ratio(few, np.arange(1.0, 20.0)),
        st.paired_difference(few, -few),
        st.bootstrap(lambda i: float(few[i].mean()), 19),
    ):
        assert found.too_few == found.count < 20
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    assert st.mean(np.append(few, 0.0)).too_few is None


def test_a_difference_of_shares_has_positive_width_if_no_item_differs() -> None:
    result = st.proportion_difference(np.ones(40), np.ones(40))
    assert result.value == 0
    assert result.high == pytest.approx(1.96**2 / (40 + 1.96**2), abs=1e-3)
    assert result.high == pytest.approx(-result.low)
    assert math.isnan(st.proportion_difference(np.empty(0), np.empty(0)).value)


def test_without_ties_a_win_rate_is_a_proportion() -> None:
    won = np.repeat([1.0, 0.0], [31, 9])
    assert st.share(won) == st.proportion(31, 40)
    tied = st.share(np.where(won == 0, 0.5, won))
    assert tied.value == (31 + 4.5) / 40
    assert tied.high - tied.low < st.proportion(35.5, 40).high - st.proportion(35.5, 40).low


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
