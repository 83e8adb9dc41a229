"""Comparison of models: Bradley–Terry strengths, and length-controlled win rates.

Left out: the prompt difficulty in AlpacaEval 2's regression, which is fitted there on hundreds of
models.
"""

import numpy as np
from scipy import special

from upbring.maths.statistics import Estimate, FloatArray, bootstrap

MAX_ITERATIONS = 100
TOLERANCE = 1e-10


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


def length_controlled_win_rate(
    wins: FloatArray,
    model_lengths: FloatArray,
    baseline_lengths: FloatArray,
    *,
    penalty: float = 0.01,
    seed: int = 0,
) -> Estimate:
    """Return the win rate at equal response lengths, from wins (0, ½, 1) and lengths `[n]`.

    AlpacaEval 2 (Dubois et al. 2024, eq. 2) without the prompt difficulty:
    logit P(win) = θ + φ · tanh(Δ / std(Δ)) with Δ = model length − baseline length; the win rate is
    σ(θ). `penalty` · (θ² + φ²)/2 keeps both parameters finite if one side always wins.
    """
    gap = model_lengths - baseline_lengths
    scale = float(gap.std())
    x = np.tanh(gap / scale) if scale > 0 else np.zeros(len(gap))

    def rate(chosen: np.ndarray) -> float:
        return float(special.expit(_fit_logistic(x[chosen], wins[chosen], penalty)[0]))

    return bootstrap(rate, len(wins), seed=seed)


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
