"""How the true reward turns down while the proxy rises (Gao, Schulman and Hilton 2022).

d = √KL(π‖π_init) and R(0) = 0. The two forms are swapped in several public notes, so each has a
name and its peak is tested. Neither is to be trusted near d = 0.
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

MIN_POINTS = 3  # points that a curve of two parameters is drawn through


@dataclass(frozen=True, slots=True)
class FittedCurve:
    """α and β of a form, and how much of the points' variance it explains (1: all of it)."""

    alpha: float
    beta: float
    r_squared: float


def best_of_n_reward(d: FloatArray, alpha: float, beta: float) -> FloatArray:
    """Return the true reward where the best of n responses is taken."""
    # R(d) = d (α − β d)                                                            (equation 1)
    return d * (alpha - beta * d)


def rl_reward(d: FloatArray, alpha: float, beta: float) -> FloatArray:
    """Return the true reward where the policy is trained by reinforcement."""
    # R(d) = d (α − β log d)                                                        (equation 2)
    return d * (alpha - beta * np.log(np.maximum(d, np.finfo(np.float64).tiny)))


def best_of_n_peak(curve: FittedCurve) -> float | None:
    """Return the d at which the true reward is highest; None where it never turns down."""
    return curve.alpha / (2 * curve.beta) if curve.beta > 0 else None


def rl_peak(curve: FittedCurve) -> float | None:
    """Return the d at which the true reward is highest; None where it never turns down."""
    return math.exp(curve.alpha / curve.beta - 1) if curve.beta > 0 else None


def fit_curve(form: CurveForm, kl: FloatArray, gold: FloatArray) -> FittedCurve | None:
    """Return the form's curve nearest to the gold scores at each KL; None with too few points.

    Gold scores are relative to those of the policy that was begun with.
    """
    d, R = np.sqrt(np.maximum(kl, 0.0)), np.asarray(gold, np.float64)
    is_usable = (d > 0) & np.isfinite(R)
    if is_usable.sum() < MIN_POINTS or len(np.unique(d[is_usable])) < MIN_POINTS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # of the covariance, which nobody reads
        (alpha, beta), _ = curve_fit(form, d[is_usable], R[is_usable], p0=(1.0, 0.1))
    residual_sum = float(np.square(R[is_usable] - form(d[is_usable], alpha, beta)).sum())
    total_sum = float(np.square(R[is_usable] - R[is_usable].mean()).sum())
    return FittedCurve(
        float(alpha), float(beta), 1 - residual_sum / total_sum if total_sum > 0 else 1.0
    )
