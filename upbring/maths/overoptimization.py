"""Reward overoptimization: the gold reward falls while the proxy rises (Gao et al. 2022).

d = √KL(π‖π_init) and R(0) = 0. Several public texts swap the two functional forms, so each form has
a name and its peak is tested. Neither form is reliable near d = 0.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeWarning, curve_fit

FloatArray = npt.NDArray[np.float64]
CurveForm = Callable[[FloatArray, float, float], FloatArray]

MIN_POINTS = 3  # needed to fit a curve with two parameters


@dataclass(frozen=True, slots=True)
class FittedCurve:
    """Fitted α and β of a form, and R², the explained share of the variance."""

    alpha: float
    beta: float
    r_squared: float


def rl_reward(d: FloatArray, alpha: float, beta: float) -> FloatArray:
    """Return the gold reward of an RL policy at distance d."""
    # R(d) = d (α − β log d)                                                        (equation 2)
    return d * (alpha - beta * np.log(np.maximum(d, np.finfo(np.float64).tiny)))


def rl_peak(curve: FittedCurve) -> float | None:
    """Return the d with the highest gold reward, or None if the curve never falls."""
    return math.exp(curve.alpha / curve.beta - 1) if curve.beta > 0 else None


def fit_curve(form: CurveForm, kl: FloatArray, gold: FloatArray) -> FittedCurve | None:
    """Return the least-squares fit to the gold scores at each KL, or None with too few points.

    Gold scores are relative to the gold score of the initial policy.
    """
    d, R = np.sqrt(np.maximum(kl, 0.0)), np.asarray(gold, np.float64)
    is_usable = (d > 0) & np.isfinite(R)
    if is_usable.sum() < MIN_POINTS or len(np.unique(d[is_usable])) < MIN_POINTS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # about the covariance, which is unused
        (alpha, beta), _ = curve_fit(form, d[is_usable], R[is_usable], p0=(1.0, 0.1))
    residual_sum = float(np.square(R[is_usable] - form(d[is_usable], alpha, beta)).sum())
    total_sum = float(np.square(R[is_usable] - R[is_usable].mean()).sum())
    return FittedCurve(
        float(alpha), float(beta), 1 - residual_sum / total_sum if total_sum > 0 else 1.0
    )
