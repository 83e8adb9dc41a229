import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats

from upbring.maths import intervals


def naive_score(wins: int, losses: int, n: int, delta: float) -> float:
    """Return the score statistic of Δ; the likeliest P(loss) is found by search."""

    def loss(q: float) -> float:
        cells = np.maximum([q + delta, q, 1 - 2 * q - delta], 1e-300)
        return -float(np.array([wins, losses, n - wins - losses]) @ np.log(cells))

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = optimize.minimize_scalar(loss, bounds=(low, high), options={"xatol": 1e-12}).x
    return (wins - losses - n * delta) / math.sqrt(n * (2 * q + delta - delta**2))


@pytest.mark.parametrize(("wins", "losses", "n"), [(12, 2, 50), (9, 3, 32), (30, 10, 100)])
def test_tangos_bounds_are_where_the_score_is_the_quantile(wins: int, losses: int, n: int) -> None:
    low, high = intervals.tango(wins, losses, n)
    assert naive_score(wins, losses, n, low) == pytest.approx(1.96, abs=1e-3)
    assert naive_score(wins, losses, n, high) == pytest.approx(-1.96, abs=1e-3)
    mirrored = intervals.tango(losses, wins, n)
    assert mirrored == pytest.approx((-high, -low))


@pytest.mark.parametrize("wins", [0, 1, 17, 39, 40])
def test_tango_without_ties_is_wilson(wins: int) -> None:
    found = [(1 + bound) / 2 for bound in intervals.tango(wins, 40 - wins, 40)]
    assert found == pytest.approx(intervals.wilson(wins / 40, 40), abs=1e-6)


def test_hall_is_students_t_for_symmetric_values() -> None:
    values = np.concatenate([np.arange(1.0, 16.0), -np.arange(1.0, 16.0)])
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert intervals.hall(values) == pytest.approx(tuple(expected), rel=1e-9)


def test_hall_reaches_further_to_the_long_tail() -> None:
    values = np.random.default_rng(0).exponential(1, 30)
    low, high = intervals.hall(values)
    assert high - values.mean() > 1.2 * (values.mean() - low)
    mirrored = intervals.hall(-values)
    assert mirrored == pytest.approx((-high, -low))


def test_halls_inverse_undoes_his_transformation() -> None:
    for w, skewness, n in itertools.product((-0.4, 0.1, 0.6), (-1.5, 0.3, 2.0), (20, 200)):
        a = skewness / 3
        transformed = w + a * w**2 + a**2 * w**3 / 3 + skewness / (6 * n)
        assert intervals._inverse_hall(transformed, skewness, n) == pytest.approx(w)


def test_fieller_solves_the_t_test_of_each_ratio() -> None:
    rng = np.random.default_rng(1)
    x = rng.lognormal(3, 0.5, 40)
    y = 2.0 * x + rng.normal(0, 5, 40)
    for bound in intervals.fieller(y, x):
        assert stats.ttest_1samp(y - bound * x, 0).pvalue == pytest.approx(0.05, abs=1e-9)
    assert math.isnan(intervals.fieller(y, rng.normal(0, 1, 40))[0])


def test_values_without_variance_have_no_interval() -> None:
    assert math.isnan(intervals.hall(np.full(30, 7.0))[0])
    assert math.isnan(intervals.clustered_wilson(np.full(30, 0.5), np.ones(30))[0])
