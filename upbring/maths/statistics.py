"""Numbers with their intervals: means, ratios, differences of pairs, shares, rank correlations.

Intervals are of 95 % unless asked otherwise. The bootstrap is the percentile bootstrap (Efron
1979): the statistic of many samples drawn with replacement, and the quantiles between which the
middle of them lies. It resamples *items* (prompts, rankings), never what one item holds several of.
Of fewer than about twenty items it is too narrow; shares have Wilson's interval, which is not.
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
_MAX_TABLE_CELLS = 2**21  # of a table of counts that is in memory at once


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value between two bounds, and the number of items that it is made from."""

    value: float
    low: float
    high: float
    count: int


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)


def proportion(successes: float, count: int, *, level: float = CONFIDENCE_LEVEL) -> Estimate:
    """Return a share with Wilson's score interval (1927), right for few items and near 0 and 1.

    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n). Half a success is what a tie counts for.

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
    """Return Σ above / Σ below over items `[n]`, with the bootstrap over items.

    A mean over clusters: pairs that were judged rightly over pairs, both by ranking.
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
    """Return the mean of values `[n]`, with the bootstrap.

    >>> mean(np.array([1.0, 2.0, 3.0])).value
    2.0
    """
    return ratio(values, np.ones(len(values)), seed=seed, level=level)


def paired_difference(
    after: FloatArray, before: FloatArray, *, seed: int = 0, level: float = CONFIDENCE_LEVEL
) -> Estimate:
    """Return the mean of after − before `[n]`, item by item: what both share takes no part."""
    return mean(after - before, seed=seed, level=level)


def proportion_difference(
    after: FloatArray, before: FloatArray, *, level: float = CONFIDENCE_LEVEL
) -> Estimate:
    """Return the difference of two shares on the same items, of values 0 … 1 `[n]`.

    Agresti & Min (2005): Wald's interval after ½ is added to each cell, b those that gained and c
    those that lost: ((b−c) ± z·√(b+c+1 − (b−c)²/(n+2))) / (n+2). Where no item differs it is not 0
    wide, as the bootstrap is.
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
    """Return Pearson's correlation within groups `[n]`, with the bootstrap over groups.

    Both are centred on their group's mean first, so that what differs between groups (prompts)
    takes no part: r = Σ xy / √(Σ x² Σ y²).
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
    """Return any statistic of the items' indices `[n]`, with the bootstrap over items."""
    if count == 0:
        return UNKNOWN
    generator = _generator(seed)
    samples = [statistic(generator.integers(count, size=count)) for _ in range(num_resamples)]
    return _percentile_interval(
        statistic(np.arange(count)), np.array(samples), count, CONFIDENCE_LEVEL
    )


def kendall_tau(first: FloatArray, second: FloatArray) -> float:
    """Return Kendall's τ-b of two rankings: −1 … 1, ties allowed; NaN if one is all ties."""
    if _is_constant(first) or _is_constant(second):
        return math.nan
    return float(stats.kendalltau(first, second).statistic)


def spearman_rho(first: FloatArray, second: FloatArray) -> float:
    """Return Spearman's ρ: Pearson's correlation of the ranks; NaN if one is all ties."""
    if _is_constant(first) or _is_constant(second):
        return math.nan
    return float(stats.spearmanr(first, second).statistic)


def _is_constant(values: FloatArray) -> bool:
    return len(values) == 0 or bool((values == values[0]).all())


def _center_by_group(
    values: FloatArray, group: npt.NDArray[np.int64], num_groups: int
) -> FloatArray:
    """Return values `[n]` less the mean of their group."""
    totals = np.bincount(group, values, num_groups)
    centered: FloatArray = values - (totals / np.bincount(group, minlength=num_groups))[group]
    centered[np.abs(centered) < 1e-12 * (1 + np.abs(values))] = 0.0  # what rounding leaves of ties
    return centered


def _pearson(xy: FloatArray, xx: FloatArray, yy: FloatArray) -> FloatArray:
    scale = np.sqrt(xx * yy)
    out: FloatArray = np.full(len(xy), np.nan)
    np.divide(xy, scale, out=out, where=scale > 0)
    return out


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(counter_rng.key(seed, "bootstrap"))


def _resample_counts(count: int, seed: int) -> Iterator[FloatArray]:
    """Yield tables of how often each of `count` items is in each sample, `[samples, count]`."""
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
    if len(samples) == 0 or count < 2:  # noqa: PLR2004 -- one item says nothing of others
        return Estimate(value, math.nan, math.nan, count)
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, min(value, float(low)), max(value, float(high)), count)
