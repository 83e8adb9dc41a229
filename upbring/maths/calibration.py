"""Calibration of probabilities: calibration error, reliability bins, temperature, AUC."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from upbring.maths.statistics import FloatArray

NUM_BINS = 10
# Returned as the fitted temperature if the loss has no finite minimum.
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e3


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The items with a confidence in (low, high]: their mean confidence and accuracy."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


def reliability_bins(
    confidence: FloatArray, correctness: FloatArray, *, num_bins: int = NUM_BINS
) -> tuple[CalibrationBin, ...]:
    """Return the non-empty bins of equal width, from confidence and correctness (0 … 1) `[n]`."""
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    bin_index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    return tuple(
        CalibrationBin(
            float(edges[b]),
            float(edges[b + 1]),
            float(confidence[bin_index == b].mean()),
            float(correctness[bin_index == b].mean()),
            int((bin_index == b).sum()),
        )
        for b in range(num_bins)
        if (bin_index == b).any()
    )


def expected_calibration_error(
    confidence: FloatArray, correctness: FloatArray, *, num_bins: int = NUM_BINS
) -> float:
    """Return the expected calibration error (Guo et al. 2017, eq. 3): Σ_b n_b/n · |acc_b − conf_b|.

    >>> expected_calibration_error(np.array([0.8, 0.8]), np.array([1.0, 0.0]))
    0.3
    """
    if len(confidence) == 0:
        return math.nan
    bins = reliability_bins(confidence, correctness, num_bins=num_bins)
    weighted_gap = sum(b.count * abs(b.accuracy - b.confidence) for b in bins)
    return round(weighted_gap / len(confidence), 12)


def confidence_and_correctness(margins: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the Bradley–Terry confidence and the correctness `[n]` of margins r_w − r_l `[n]`.

    The confidence is that of the response with the higher score, ½ … 1. Equal scores are half
    correct.
    """
    confidence: FloatArray = special.expit(np.abs(margins))
    correctness: FloatArray = (margins > 0) + 0.5 * (margins == 0)
    return confidence, correctness


def fit_temperature(margins: FloatArray) -> float:
    """Return the T > 0 that minimizes mean −log σ(m/T) over margins m `[n]` (Guo et al. 2017, §4).

    T > 1 means that the scores are overconfident, T < 1 that they are underconfident. The loss is
    convex in s = 1/T, and its derivative −mean(m·σ(−s·m)) has at most one root.
    """

    def slope(s: float) -> float:
        return -float((margins * special.expit(-s * margins)).mean())

    if len(margins) == 0 or not margins.any():
        return math.nan
    if slope(1 / MAX_TEMPERATURE) >= 0:
        return MAX_TEMPERATURE
    if slope(1 / MIN_TEMPERATURE) <= 0:
        return MIN_TEMPERATURE
    return 1 / float(optimize.brentq(slope, 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE))
