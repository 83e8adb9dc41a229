"""Confidence intervals (95 %) of shares and means, as pure functions of values and counts.

Excluded: the choice between them, and what is too few for an interval (`statistics.py`).
"""

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

FloatArray = npt.NDArray[np.float64]
Interval = tuple[float, float]

Z = float(stats.norm.ppf(0.975))
# Shrinks the variance of clusters toward that of clusters which are all right or all wrong.
CLUSTER_PRIOR = 0.15
NONE: Interval = (math.nan, math.nan)


def wilson(p: float, n: float, *, z: float = Z) -> Interval:
    """Return the score interval of a share p of n successes (Wilson 1927).

    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)

    >>> [round(bound, 3) for bound in wilson(1.0, 20)]
    [0.839, 1.0]
    """
    center, half_width = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (center - half_width) / (1 + z * z / n), (center + half_width) / (1 + z * z / n)
    return max(0.0, low), min(1.0, high)


def tango(wins: int, losses: int, n: int) -> Interval:
    """Return the score interval of P(win) − P(loss), of n comparisons with ties (Tango 1998).

    All Δ with |wins − losses − nΔ| ≤ z·√(n(2q + Δ(1−Δ))), where q is the likeliest P(loss) given Δ.

    >>> [round((1 + bound) / 2, 3) for bound in tango(20, 0, 20)]
    [0.839, 1.0]
    """
    observed = (wins - losses) / n

    def score(delta: float) -> float:
        b = -wins - losses + (2 * n - wins + losses) * delta
        c = -losses * delta * (1 - delta)
        loss_rate = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * loss_rate + delta * (1 - delta))
        return (wins - losses - n * delta) / math.sqrt(max(variance, 1e-300))

    edge = 1e-9
    low, high = -1.0, 1.0
    if observed > -1 + edge and score(-1 + edge) > Z:
        low = optimize.brentq(lambda delta: score(delta) - Z, -1 + edge, observed)
    if observed < 1 - edge and score(1 - edge) < -Z:
        high = optimize.brentq(lambda delta: score(delta) + Z, observed, 1 - edge)
    return float(low), float(high)


def clustered_wilson(numerators: FloatArray, denominators: FloatArray) -> Interval:
    """Return the interval of Σ numerators / Σ denominators, a share over clusters `[n]`.

    Wilson's interval for the effective sample size (Dean & Pagano 2015) p(1−p)/v, where v is the
    variance between clusters, each residual divided by 1 minus its cluster's weight (the
    jackknife). If all items are right or wrong, each cluster counts as one item.
    """
    n, total = len(numerators), float(denominators.sum())
    p = float(numerators.sum()) / total
    if n < 2 or not 0 < p < 1:  # noqa: PLR2004 -- one cluster has no variance
        return wilson(p, n) if n > 1 else NONE
    residuals = (numerators - p * denominators) / (1 - denominators / total)
    prior = CLUSTER_PRIOR * (1 - n / total) * float(denominators.mean()) ** 2
    variance = (float((residuals**2).sum()) + prior * (p**2 + (1 - p) ** 2)) / total**2
    if variance == 0:
        return NONE
    return wilson(p, p * (1 - p) / variance, z=float(stats.t.ppf(0.975, n - 1)))


def hall(values: FloatArray) -> Interval:
    """Return the interval of the mean of values `[n]`: Student's t, corrected for skewness.

    Hall (1992), "On the removal of skewness by transformation": g(T) = T + aγT² + a²γ²T³/3 + γ/6n
    with a = 1/3 and T = (mean − μ)/s is nearly symmetric, and its inverse is a cube root. NaN if
    all values are equal.
    """
    n = len(values)
    center, spread = float(values.mean()), float(values.std())
    if n < 2 or spread <= 1e-12 * abs(center):  # noqa: PLR2004 -- one item has no variance
        return NONE
    skewness = float((((values - center) / spread) ** 3).mean())
    quantile = float(stats.t.ppf(0.975, n - 1)) / math.sqrt(n)
    deviation = spread * math.sqrt(n / (n - 1))
    low, high = (center - deviation * _inverse_hall(q, skewness, n) for q in (quantile, -quantile))
    return low, high


def fieller(numerators: FloatArray, denominators: FloatArray) -> Interval:
    """Return the interval of a ratio of means of pairs `[n]` (Fieller 1954).

    All r with (ȳ − r·x̄)² ≤ t²·var(y − r·x)/n. NaN if x̄ is not clearly different from 0.
    """
    n = len(numerators)
    if n < 2:  # noqa: PLR2004 -- one item has no variance
        return NONE
    (var_y, cov), (_, var_x) = np.cov(numerators, denominators) / n
    y, x, t2 = float(numerators.mean()), float(denominators.mean()), stats.t.ppf(0.975, n - 1) ** 2
    a, b, c = x * x - t2 * var_x, x * y - t2 * cov, y * y - t2 * var_y
    if a <= 0 or b * b < a * c:
        return NONE
    half_width = math.sqrt(b * b - a * c)
    return float((b - half_width) / a), float((b + half_width) / a)


def _inverse_hall(q: float, skewness: float, n: int) -> float:
    if abs(skewness) < 1e-6:  # noqa: PLR2004 -- the cube root loses its digits
        return q
    a = skewness / 3
    return (math.cbrt(1 + 3 * a * (q - skewness / (6 * n))) - 1) / a
