"""Estimates with confidence intervals: means, ratios, paired differences, shares, correlations.

The default confidence level is 95 %. The bootstrap is the percentile bootstrap (Efron 1979): it
computes the statistic of many samples with replacement and returns the quantiles. It resamples
*items* (prompts, rankings), never the values within one item. With fewer than about twenty items
its interval is too narrow; shares use Wilson's interval, which does not have this problem.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from upbring.maths import counter_rng

FloatArray = npt.NDArray[np.float64]

CONFIDENCE_LEVEL = 0.95
NUM_RESAMPLES = 1000
_MAX_TABLE_CELLS = 2**21  # of a table of counts in memory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its confidence interval, and the number of items."""

    value: float
    low: float
    high: float
    count: int


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)


def proportion(successes: float, count: int, *, level: float = CONFIDENCE_LEVEL) -> Estimate:
    """Return a share with Wilson's score interval (1927), valid for few items and near 0 and 1.

    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n). Count a tie as half a success.

    >>> proportion(0, 10).high < 0.3, proportion(5, 0).count
    (True, 0)
    """
    if count == 0:
        return UNKNOWN
    z = float(stats.norm.ppf((1 + level) / 2))
    p, n = successes / count, count
    center, half_width = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (center - half_width) / (1 + z * z / n), (center + half_width) / (1 + z * z / n)
    return Estimate(p, min(p, max(0.0, low)), max(p, min(1.0, high)), count)


def ratio(
    numerators: FloatArray,
    denominators: FloatArray,
    *,
    seed: int = 0,
    level: float = CONFIDENCE_LEVEL,
) -> Estimate:
    """Return Σ numerators / Σ denominators over items `[n]`, with a bootstrap over items.

    Use it for a mean over clusters, such as correct pairs / pairs per ranking.
    """
    count = len(numerators)
    if count == 0 or float(denominators.sum()) == 0:
        return UNKNOWN
    samples = []
    for counts in _resample_counts(count, seed):
        denominator_sums = counts @ denominators
        samples.append(
            (counts @ numerators)[denominator_sums > 0] / denominator_sums[denominator_sums > 0]
        )
    return _percentile_interval(
        float(numerators.sum() / denominators.sum()), np.concatenate(samples), count, level
    )


def mean(values: FloatArray, *, seed: int = 0, level: float = CONFIDENCE_LEVEL) -> Estimate:
    """Return the mean of values `[n]`, with a bootstrap interval.

    >>> mean(np.array([1.0, 2.0, 3.0])).value
    2.0
    """
    return ratio(values, np.ones(len(values)), seed=seed, level=level)


def paired_difference(
    after: FloatArray, before: FloatArray, *, seed: int = 0, level: float = CONFIDENCE_LEVEL
) -> Estimate:
    """Return the mean of after − before `[n]` per item, which cancels the common variation."""
    return mean(after - before, seed=seed, level=level)


def proportion_difference(
    after: FloatArray, before: FloatArray, *, level: float = CONFIDENCE_LEVEL
) -> Estimate:
    """Return the difference of two shares on the same items, from values 0 … 1 `[n]`.

    Agresti & Min (2005): Wald's interval after adding ½ to each cell, where b items improved and c
    got worse: ((b−c) ± z·√(b+c+1 − (b−c)²/(n+2))) / (n+2). If no item differs, its width is
    positive; the bootstrap's would be 0.
    """
    n = len(after)
    if n == 0:
        return UNKNOWN
    gap = after - before
    total_change, net_change = float(np.abs(gap).sum()), float(gap.sum())
    half_width = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(
        total_change + 1 - net_change**2 / (n + 2)
    )
    low, high = (
        max(-1.0, (net_change - half_width) / (n + 2)),
        min(1.0, (net_change + half_width) / (n + 2)),
    )
    return Estimate(net_change / n, min(low, net_change / n), max(high, net_change / n), n)


def within_group_correlation(
    first: FloatArray, second: FloatArray, group: npt.NDArray[np.int64], *, seed: int = 0
) -> Estimate:
    """Return Pearson's correlation within groups `[n]`, with a bootstrap over groups.

    Both variables are first centered on their group's mean, which removes differences between
    groups (prompts): r = Σ xy / √(Σ x² Σ y²).
    """
    _, group = np.unique(group, return_inverse=True)
    num_groups = int(group.max(initial=-1)) + 1
    if num_groups == 0:
        return UNKNOWN
    x, y = (_center_by_group(values, group, num_groups) for values in (first, second))
    sums = [np.bincount(group, v, num_groups) for v in (x * y, x * x, y * y)]
    value = _pearson(*(np.atleast_1d(part.sum()) for part in sums))[0]
    if math.isnan(value):
        return UNKNOWN
    samples = [
        _pearson(*(counts @ part for part in sums)) for counts in _resample_counts(num_groups, seed)
    ]
    return _percentile_interval(float(value), np.concatenate(samples), num_groups, CONFIDENCE_LEVEL)


def bootstrap(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    count: int,
    *,
    seed: int = 0,
    num_resamples: int = 300,
) -> Estimate:
    """Return a statistic of the items' indices `[n]`, with a bootstrap over items."""
    if count == 0:
        return UNKNOWN
    generator = _generator(seed)
    samples = [statistic(generator.integers(count, size=count)) for _ in range(num_resamples)]
    return _percentile_interval(
        statistic(np.arange(count)), np.array(samples), count, CONFIDENCE_LEVEL
    )


def kendall_tau(first: FloatArray, second: FloatArray) -> float:
    """Return Kendall's τ-b of two rankings, −1 … 1; ties are allowed. NaN if one is constant."""
    if _is_constant(first) or _is_constant(second):
        return math.nan
    return float(stats.kendalltau(first, second).statistic)


def _is_constant(values: FloatArray) -> bool:
    return len(values) == 0 or bool((values == values[0]).all())


def _center_by_group(
    values: FloatArray, group: npt.NDArray[np.int64], num_groups: int
) -> FloatArray:
    """Return values `[n]` minus the mean of their group."""
    totals = np.bincount(group, values, num_groups)
    centered: FloatArray = values - (totals / np.bincount(group, minlength=num_groups))[group]
    centered[np.abs(centered) < 1e-12 * (1 + np.abs(values))] = 0.0  # rounding errors of ties
    return centered


def _pearson(xy: FloatArray, xx: FloatArray, yy: FloatArray) -> FloatArray:
    scale = np.sqrt(xx * yy)
    out: FloatArray = np.full(len(xy), np.nan)
    np.divide(xy, scale, out=out, where=scale > 0)
    return out


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(counter_rng.key(seed, "bootstrap"))


def _resample_counts(count: int, seed: int) -> Iterator[FloatArray]:
    """Yield tables `[samples, count]` of how often each of `count` items is in each sample."""
    generator = _generator(seed)
    max_rows = max(1, min(NUM_RESAMPLES, _MAX_TABLE_CELLS // count))
    sizes = [max_rows] * (NUM_RESAMPLES // max_rows) + [NUM_RESAMPLES % max_rows] * (
        NUM_RESAMPLES % max_rows > 0
    )
    for size in sizes:
        chosen = generator.integers(count, size=(size, count))
        offset = np.arange(size)[:, None] * count
        table = np.bincount((chosen + offset).ravel(), minlength=size * count)
        yield table.reshape(size, count).astype(np.float64)


def _percentile_interval(value: float, samples: FloatArray, count: int, level: float) -> Estimate:
    samples = samples[np.isfinite(samples)]
    if len(samples) == 0 or count < 2:  # noqa: PLR2004 -- one item has no variance
        return Estimate(value, math.nan, math.nan, count)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, min(value, float(low)), max(value, float(high)), count)
