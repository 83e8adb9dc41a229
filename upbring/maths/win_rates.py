"""Comparison of models: Bradley–Terry strengths, and length-controlled win rates.

Left out: the prompt difficulty in AlpacaEval 2's regression, which is fitted there on hundreds of
models.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, special, stats

from upbring.maths import intervals
from upbring.maths.statistics import UNKNOWN, Estimate, FloatArray
from upbring.maths.too_few import MIN_ITEMS

MAX_ITERATIONS = 100
TOLERANCE = 1e-10
MAX_LOGIT = 12.0  # bounds beyond σ(±12) are 0 and 1


def bradley_terry_strengths(wins: FloatArray, *, prior: float = 0.5) -> FloatArray:
    """Return the log-strengths β `[M]` of M models from wins `[M, M]` of row over column.

    Bradley–Terry: P(i beats j) = σ(β_i − β_j); a tie is half a win for each. The log-likelihood
    Σ w_ij log σ(β_i − β_j) is concave and maximized with Newton's method. `prior` ties are added to
    each compared pair, so that a model that won everything has a finite strength; Σ β = 0.
    """
    is_compared = (wins + wins.T) > 0
    wins = wins + prior / 2 * is_compared
    np.fill_diagonal(wins, 0.0)
    n = wins + wins.T
    assert (wins.sum(1)[n.sum(1) > 0] > 0).all(), "a model never wins; use prior > 0"
    beta = np.zeros(len(wins))
    for _ in range(MAX_ITERATIONS):
        p = special.expit(beta[:, None] - beta[None, :])
        curvature = n * p * (1 - p)
        hessian = np.diag(curvature.sum(1)) - curvature
        hessian += 1 + 1e-9 * np.eye(
            len(wins)
        )  # Σ β and models without comparisons are undetermined
        step = np.linalg.solve(hessian, (wins - n * p).sum(1))
        step *= min(1.0, 2.0 / (np.abs(step).max() + 1e-300))  # large steps overshoot
        beta += step
        if np.abs(step).max() < TOLERANCE:
            break
    return np.asarray(beta - beta.mean(), np.float64)


def estimate_strengths(
    pairs: Sequence[tuple[int, int]], wins: FloatArray, num_models: int, *, prior: float = 0.5
) -> list[Estimate]:
    """Return the strength of each model from wins `[pairs, n]` by prompt (NaN: not judged).

    β ± z·sd. The variance is the larger of that of the likelihood and that between prompts (the
    sandwich estimator), because the pairs of one prompt share answers.
    """
    is_judged = ~np.isnan(wins)
    table = np.zeros((num_models, num_models))
    for (first, second), row in zip(pairs, wins, strict=True):
        table[first, second] += np.nansum(row)
        table[second, first] += np.nansum(1 - row)
    beta = bradley_terry_strengths(table, prior=prior)
    information = np.zeros((num_models, num_models))
    scores = np.zeros((num_models, wins.shape[1]))
    for (first, second), row, judged in zip(pairs, wins, is_judged, strict=True):
        p = special.expit(beta[first] - beta[second])
        residual = np.where(judged, row - p, 0.0)
        scores[first] += residual
        scores[second] -= residual
        weight = (judged.sum() + prior * judged.any()) * p * (1 - p)
        information[[first, second], [first, second]] += weight
        information[[first, second], [second, first]] -= weight
    inverse = np.linalg.pinv(information)
    variance = np.maximum(np.diag(inverse), np.diag(inverse @ scores @ scores.T @ inverse))
    half_width = intervals.Z * np.sqrt(variance)
    count = int(is_judged.any(0).sum())
    if count < MIN_ITEMS:
        half_width[:] = math.nan
    too_few = count if count < MIN_ITEMS else None
    return [
        Estimate(float(b), float(b - h), float(b + h), count, too_few)
        for b, h in zip(beta, half_width, strict=True)
    ]


def length_controlled_win_rate(
    wins: FloatArray,
    model_lengths: FloatArray,
    baseline_lengths: FloatArray,
    *,
    penalty: float = 0.01,
) -> Estimate:
    """Return the win rate at equal response lengths, from wins (0, ½, 1) and lengths `[n]`.

    AlpacaEval 2 (Dubois et al. 2024, eq. 2) without the prompt difficulty:
    logit P(win) = θ + φ · tanh(Δ / std(Δ)) with Δ = model length − baseline length; the win rate is
    σ(θ). `penalty` · (θ² + φ²)/2 keeps both parameters finite if one side always wins. The interval
    is that of Rao's score test of θ; with equal lengths it is Wilson's.
    """
    count = len(wins)
    if count == 0:
        return UNKNOWN
    gap = model_lengths - baseline_lengths
    scale = float(gap.std())
    x = np.tanh(gap / scale) if scale > 0 else np.zeros(count)
    theta = float(_fit_logistic(x, wins, penalty)[0])
    value = float(special.expit(theta))
    if count < MIN_ITEMS:
        return Estimate(value, math.nan, math.nan, count, too_few=count)

    def score(theta: float) -> float:
        return _theta_score(x, wins, theta, penalty)

    z = float(stats.t.ppf(0.975, count - 2)) if scale > 0 else intervals.Z
    low = _find_crossing(score, z, -MAX_LOGIT, theta)
    high = _find_crossing(score, -z, theta, MAX_LOGIT)
    bounds = [0.0 if low is None else low, 1.0 if high is None else high]
    return Estimate(value, min(value, bounds[0]), max(value, bounds[1]), count)


def _find_crossing(
    score: Callable[[float], float], target: float, left: float, right: float
) -> float | None:
    """Return σ(θ) where the score falls through `target`; None if it does not."""
    if not score(left) > target > score(right):
        return None
    return float(special.expit(optimize.brentq(lambda theta: score(theta) - target, left, right)))


def _theta_score(x: FloatArray, y: FloatArray, theta: float, penalty: float) -> float:
    """Return Rao's score statistic of θ, standard normal if θ is true; φ is fitted given θ.

    (Σ y − p) / √V with V = (I_θθ − I_θφ² / I_φφ) · D. D ≤ 1 is the variance of outcomes with ties
    relative to p(1−p): 1 − mean y(1−y) / mean p(1−p), and at least that without losses.
    """
    phi = _fit_slope(x, y, theta, penalty)
    p = special.expit(theta + phi * x)
    weight = p * (1 - p)
    information = weight.sum() - (weight * x).sum() ** 2 / ((weight * x * x).sum() + penalty)
    lead = abs(2 * float(p.mean()) - 1)
    dispersion = max(1 - float((y * (1 - y)).sum() / weight.sum()), lead / (1 + lead))
    return float((y - p).sum() / np.sqrt(max(information * dispersion, 1e-300)))


def _fit_slope(x: FloatArray, y: FloatArray, theta: float, penalty: float) -> float:
    """Return φ of the ridge regression for a given θ, by Newton's method."""
    phi = 0.0
    for _ in range(MAX_ITERATIONS):
        p = special.expit(theta + phi * x)
        step = float((x * (y - p)).sum() - penalty * phi)
        step /= float((p * (1 - p) * x * x).sum()) + penalty
        step = max(-2.0, min(2.0, step))
        phi += step
        if abs(step) < TOLERANCE:
            break
    return phi


def _fit_logistic(x: FloatArray, y: FloatArray, penalty: float) -> FloatArray:
    """Return (θ, φ) of a ridge logistic regression of y on 1 and x, by Newton's method."""
    X = np.stack([np.ones(len(x)), x], 1)
    w = np.zeros(2)
    for _ in range(MAX_ITERATIONS):
        p = special.expit(X @ w)
        gradient = X.T @ (p - y) + penalty * w
        hessian = (X * (p * (1 - p))[:, None]).T @ X + penalty * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 5.0 / (np.abs(step).max() + 1e-300))  # large steps overshoot at p ≈ 0, 1
        w -= step
        if np.abs(step).max() < TOLERANCE:
            break
    return np.asarray(w, np.float64)
