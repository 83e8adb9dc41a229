"""Shares seen through a classifier that errs: corrected by its sensitivity and specificity.

Rogan & Gladen 1978: of an apparent share p, the true one is (p + c − 1)/(s + c − 1), with the
sensitivity s and the specificity c. It is the mean of u = (y + c − 1)/(s + c − 1) over the
classified items y, and E[u] is 1 for a positive item and 0 for a negative one. Errors on several
tries of an item are independent, so 1 − Π(1 − u) over the tries is unbiased for "a success in at
least one of them".

The interval adds z²/2 items that succeed and z²/2 that fail (Agresti & Coull 1998, as Lang &
Reiczigel 2014 do) and the uncertainty of s and c (delta method, one success and one failure added
to each). `tests/maths/test_misclassification.py` measures its coverage.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from upbring.maths.intervals import Z
from upbring.maths.statistics import UNKNOWN, Estimate, FloatArray
from upbring.maths.too_few import MIN_ITEMS

MIN_INFORMATION = 0.1  # of s + c − 1; a classifier below it says too little
_STEP = 1e-4
Tries = Literal["one", "any"]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How a classifier did on labelled items."""

    true_positives: int
    positives: int
    true_negatives: int
    negatives: int

    @property
    def sensitivity(self) -> float:
        """The share of the positive items that it finds."""
        return self.true_positives / self.positives if self.positives else 1.0

    @property
    def specificity(self) -> float:
        """The share of the negative items that it finds."""
        return self.true_negatives / self.negatives if self.negatives else 1.0

    @property
    def is_informative(self) -> bool:
        """Whether it says enough for a correction."""
        return self.sensitivity + self.specificity - 1 >= MIN_INFORMATION


PERFECT = Confusion(0, 0, 0, 0)  # no errors, known exactly


def corrected_share(observed: FloatArray, confusion: Confusion, *, tries: Tries) -> Estimate:
    """Return the share of items with a success, from the classified tries `[n, k]` (0 or 1).

    `one`: in a single try, the mean over the tries; `any`: in at least one of the k tries. With
    groups of tries `[n, F, k]` it is the mean over the groups.

    >>> y = np.array([[1.0]] * 30 + [[0.0]] * 70)
    >>> round(corrected_share(y, Confusion(90, 100, 80, 100), tries="one").value, 4)
    0.1429
    """
    n = len(observed)
    if n == 0:
        return UNKNOWN
    if not confusion.is_informative:
        return Estimate(math.nan, math.nan, math.nan, n)
    s, c = confusion.sensitivity, confusion.specificity
    value = min(1.0, max(0.0, float(item_values(observed, s, c, tries).mean())))
    if n < MIN_ITEMS:
        return Estimate(value, math.nan, math.nan, n, too_few=n)
    low, high = _interval(observed, confusion, tries)
    return Estimate(value, min(value, low), max(value, high), n)


def item_values(observed: FloatArray, s: float, c: float, tries: Tries) -> FloatArray:
    """Return an unbiased value per item `[n]`, the mean over its groups of tries."""
    u = (observed + c - 1) / (s + c - 1)  # [n, F, k]
    values = u.mean(axis=-1) if tries == "one" else 1 - (1 - u).prod(axis=-1)
    return np.asarray(values.mean(axis=tuple(range(1, values.ndim))))


def _interval(observed: FloatArray, confusion: Confusion, tries: Tries) -> tuple[float, float]:
    n, pattern = len(observed), observed.shape[1:]
    s, c = (
        _smooth(confusion.true_positives, confusion.positives),
        _smooth(confusion.true_negatives, confusion.negatives),
    )
    patterns = np.concatenate([observed, np.ones((1, *pattern)), np.zeros((1, *pattern))])
    weights = np.concatenate([np.ones(n), np.full(2, Z * Z / 2)])
    total = float(weights.sum())

    def estimate(sensitivity: float, specificity: float) -> float:
        values = item_values(patterns, sensitivity, specificity, tries)
        return float((weights * values).sum()) / total

    values, center = item_values(patterns, s, c, tries), estimate(s, c)
    variance = float((weights * (values - center) ** 2).sum()) / total**2
    for slope, share, count in (
        (estimate(s + _STEP, c) - estimate(s - _STEP, c), s, confusion.positives),
        (estimate(s, c + _STEP) - estimate(s, c - _STEP), c, confusion.negatives),
    ):
        if count:
            variance += (slope / (2 * _STEP)) ** 2 * share * (1 - share) / (count + 2)
    half_width = Z * math.sqrt(variance)
    return max(0.0, center - half_width), min(1.0, center + half_width)


def _smooth(successes: int, count: int) -> float:
    """Return a share with one success and one failure added; 1 if it is known exactly."""
    return (successes + 1) / (count + 2) if count else 1.0
