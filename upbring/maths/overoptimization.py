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

Numbers = npt.NDArray[np.float64]
Form = Callable[[Numbers, float, float], Numbers]

FEWEST = 3  # points that a curve of two parameters is drawn through


@dataclass(frozen=True, slots=True)
class Curve:
    """α and β of a form, and how much of the points' variance it explains (1: all of it)."""

    alpha: float
    beta: float
    explained: float


def best_of_n(d: Numbers, alpha: float, beta: float) -> Numbers:
    """Return the true reward where the best of n responses is taken."""
    # R(d) = d (α − β d)                                                            (equation 1)
    return d * (alpha - beta * d)


def reinforced(d: Numbers, alpha: float, beta: float) -> Numbers:
    """Return the true reward where the policy is trained by reinforcement."""
    # R(d) = d (α − β log d)                                                        (equation 2)
    return d * (alpha - beta * np.log(np.maximum(d, np.finfo(np.float64).tiny)))


def peak_of_best_of_n(curve: Curve) -> float | None:
    """Return the d at which the true reward is highest; None where it never turns down."""
    return curve.alpha / (2 * curve.beta) if curve.beta > 0 else None


def peak_of_reinforced(curve: Curve) -> float | None:
    """Return the d at which the true reward is highest; None where it never turns down."""
    return math.exp(curve.alpha / curve.beta - 1) if curve.beta > 0 else None


def fitted(form: Form, kl: Numbers, gold: Numbers) -> Curve | None:
    """Return the form's curve nearest to the gold scores at each KL; None with too few points.

    Gold scores are relative to those of the policy that was begun with.
    """
    d, R = np.sqrt(np.maximum(kl, 0.0)), np.asarray(gold, np.float64)
    used = (d > 0) & np.isfinite(R)
    if used.sum() < FEWEST or len(np.unique(d[used])) < FEWEST:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # of the covariance, which nobody reads
        (alpha, beta), _ = curve_fit(form, d[used], R[used], p0=(1.0, 0.1))
    left = float(np.square(R[used] - form(d[used], alpha, beta)).sum())
    spread = float(np.square(R[used] - R[used].mean()).sum())
    return Curve(float(alpha), float(beta), 1 - left / spread if spread > 0 else 1.0)
