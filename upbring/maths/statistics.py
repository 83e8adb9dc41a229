"""Shares, means, ratios, paired differences and correlations, with 95 % confidence intervals.

No interval resamples the values within one item: items (prompts, rankings) are independent, the
pairs of one ranking are not. With fewer than MIN_ITEMS items no method keeps the confidence level
(at a true share of 95 %, ten items give 91 or 99 %), so that the estimate has no interval and
`too_few` says so. `tests/maths/test_coverage.py` measures the coverage of all of them.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from upbring.maths import intervals, random_key
from upbring.maths.too_few import MIN_ITEMS

FloatArray = npt.NDArray[np.float64]

CONFIDENCE_LEVEL = 0.95
MIN_ITEMS_WITH_TIES = 21  # at 20, rare wins and losses give intervals that hold in 99 %
NUM_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its confidence interval, and the number of items."""

    value: float
    low: float
    high: float
    count: int
    too_few: int | None = None  # the number of independent items, if too few for an interval


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)


def proportion(successes: float, count: int) -> Estimate:
    """Return a share of independent successes with Wilson's score interval.

    >>> round(proportion(20, 20).low, 3), proportion(5, 0).count
    (0.839, 0)
    """
    if count == 0:
        return UNKNOWN
    p = successes / count
    return _estimate(p, intervals.wilson(p, count), count)


def share(values: FloatArray) -> Estimate:
    """Return the mean of values in [0, 1] `[n]`, such as wins with ties as ½.

    Tango's score interval if all values are 0, ½ or 1; without ½ it equals Wilson's.
    """
    count = len(values)
    if count == 0:
        return UNKNOWN
    if not _are_outcomes(values):
        return _share_of_parts(values, np.ones(count))
    wins, losses = int((values == 1).sum()), int((values == 0).sum())
    if wins + losses == count:
        return proportion(wins, count)
    low, high = intervals.tango(wins, losses, count)
    bounds = (1 + low) / 2, (1 + high) / 2
    return _estimate(float(values.mean()), bounds, count, min_items=MIN_ITEMS_WITH_TIES)


def ratio(numerators: FloatArray, denominators: FloatArray) -> Estimate:
    """Return Σ numerators / Σ denominators over independent items `[n]`.

    Fieller's interval; if the numerators count items out of the denominators, that of the share.
    """
    numerators, denominators = _with_denominator(numerators, denominators)
    count = len(numerators)
    if count == 0:
        return UNKNOWN
    if numerators.any() and _are_counts(numerators, denominators):
        return share_of_counts(numerators, denominators)
    value = float(numerators.sum() / denominators.sum())
    if (denominators == denominators[0]).all():
        interval = intervals.hall(numerators / denominators)
    else:
        interval = intervals.fieller(numerators, denominators)
    return _estimate(value, interval, count)


def share_of_counts(numerators: FloatArray, denominators: FloatArray) -> Estimate:
    """Return Σ numerators / Σ denominators, counts over independent clusters `[n]`.

    Such as correct pairs / pairs per ranking: Wilson's interval for an effective sample size.
    """
    numerators, denominators = _with_denominator(numerators, denominators)
    if len(numerators) == 0:
        return UNKNOWN
    if (denominators == 1).all():
        return share(numerators)
    return _share_of_parts(numerators, denominators)


def mean(values: FloatArray) -> Estimate:
    """Return the mean of values `[n]` with Hall's interval; the share if all are 0, ½ or 1.

    >>> mean(np.arange(21.0)).value
    10.0
    """
    count = len(values)
    if count == 0:
        return UNKNOWN
    if values.any() and _are_outcomes(values):
        return share(values)
    return _estimate(float(values.mean()), intervals.hall(values), count)


def paired_difference(after: FloatArray, before: FloatArray) -> Estimate:
    """Return the mean of after − before `[n]` per item, which cancels the common variation."""
    values = np.concatenate([after, before])
    if values.any() and _are_outcomes(values):
        return proportion_difference(after, before)
    if len(values) == 0:
        return UNKNOWN
    differences = after - before
    return _estimate(float(differences.mean()), intervals.hall(differences), len(differences))


def proportion_difference(after: FloatArray, before: FloatArray) -> Estimate:
    """Return the difference of two shares on the same items, from values in [0, 1] `[n]`.

    It is 2·share − 1 of (1 + after − before)/2, with the same intervals. If no item differs, the
    interval has a positive width.
    """
    half = share((1 + after - before) / 2)
    if half.count == 0:
        return UNKNOWN
    value = float((after - before).mean())
    return replace(half, value=value, low=2 * half.low - 1, high=2 * half.high - 1)


def within_group_correlation(
    first: FloatArray, second: FloatArray, group: npt.NDArray[np.int64], *, seed: int = 0
) -> Estimate:
    """Return Pearson's correlation within groups `[n]`, with a bootstrap (BCa) over groups.

    Both variables are first centered on their group's mean, which removes differences between
    groups (prompts): r = Σ xy / √(Σ x² Σ y²).
    """
    _, group = np.unique(group, return_inverse=True)
    num_groups = int(group.max(initial=-1)) + 1
    if num_groups == 0:
        return UNKNOWN
    x, y = (_center_by_group(values, group, num_groups) for values in (first, second))
    xy, xx, yy = (np.bincount(group, v, num_groups) for v in (x * y, x * x, y * y))

    def correlation(indices: npt.NDArray[np.int64]) -> float:
        scale = math.sqrt(float(xx[indices].sum() * yy[indices].sum()))
        return float(xy[indices].sum()) / scale if scale > 0 else math.nan

    if math.isnan(correlation(np.arange(num_groups))):
        return UNKNOWN
    return bootstrap(correlation, num_groups, seed=seed, num_resamples=NUM_RESAMPLES)


def bootstrap(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    count: int,
    *,
    seed: int = 0,
    num_resamples: int = 300,
) -> Estimate:
    """Return a statistic of the items' indices `[n]`, with the bootstrap BCa (Efron 1987)."""
    if count == 0:
        return UNKNOWN
    indices = np.arange(count)
    value = statistic(indices)
    if count < MIN_ITEMS:
        return _estimate(value, (math.nan, math.nan), count)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # the interval is then NaN
        result = stats.bootstrap(
            (indices,),
            statistic,
            vectorized=False,
            n_resamples=num_resamples,
            confidence_level=CONFIDENCE_LEVEL,
            method="BCa",
            rng=np.random.default_rng(random_key.key(seed, "bootstrap")),
        )
    interval = result.confidence_interval
    return _estimate(value, (float(interval.low), float(interval.high)), count)


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


def _with_denominator(
    numerators: FloatArray, denominators: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the items whose denominator is not 0."""
    is_used = denominators != 0
    return numerators[is_used], denominators[is_used]


def _are_outcomes(values: FloatArray) -> bool:
    """Whether all values are 0, ½ or 1: lost, tied or won."""
    return bool(np.isin(values, (0.0, 0.5, 1.0)).all())


def _are_counts(numerators: FloatArray, denominators: FloatArray) -> bool:
    """Whether the numerators count items out of the denominators; a tie counts ½."""
    is_part = (numerators >= 0) & (numerators <= denominators)
    is_whole = (2 * numerators % 1 == 0) & (denominators % 1 == 0)
    return bool((is_part & is_whole).all())


def _share_of_parts(numerators: FloatArray, denominators: FloatArray) -> Estimate:
    value = float(numerators.sum() / denominators.sum())
    interval = intervals.clustered_wilson(numerators, denominators)
    return _estimate(value, interval, len(numerators))


def _estimate(
    value: float, interval: tuple[float, float], count: int, *, min_items: int = MIN_ITEMS
) -> Estimate:
    """Return an estimate without an interval if there are too few items."""
    if count < min_items:
        return Estimate(value, math.nan, math.nan, count, too_few=count)
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return Estimate(value, math.nan, math.nan, count)
    return Estimate(value, min(value, low), max(value, high), count)
