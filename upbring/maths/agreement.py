"""Agreement between annotators, or between a rule and annotators: κ, α, concordant pairs."""

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from upbring.maths.statistics import FloatArray


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Return Cohen's κ (1960) of two raters: (p_o − p_e) / (1 − p_e); NaN if p_e is 1.

    >>> round(cohen_kappa(["yes", "no", "no", "no"], ["yes", "yes", "no", "no"]), 3)
    0.5
    """
    n = len(first)
    assert n == len(second), f"{n} labels and {len(second)} labels; the lengths must be equal"
    if n == 0:
        return math.nan
    first_counts, second_counts = Counter(first), Counter(second)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    expected = sum(first_counts[label] * second_counts[label] for label in first_counts) / n**2
    return math.nan if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(
    units: Sequence[Sequence[float | None]], *, level: Literal["nominal", "ordinal"] = "nominal"
) -> float:
    """Return Krippendorff's α of the values of each unit; None is a missing rating.

    α = 1 − (n − 1) · Σ o_cv δ²_cv / Σ n_c n_v δ²_cv over the coincidences o of values (Krippendorff
    2011). Units with a single value are ignored. NaN if all values are equal.
    """
    rated_units = [[v for v in unit if v is not None] for unit in units]
    rated_units = [unit for unit in rated_units if len(unit) > 1]
    values = sorted({v for unit in rated_units for v in unit})
    value_index = {v: i for i, v in enumerate(values)}
    o = np.zeros((len(values), len(values)))
    for unit in rated_units:
        for first, second in itertools.permutations(unit, 2):
            o[value_index[first], value_index[second]] += 1 / (len(unit) - 1)
    n_c = o.sum(1)
    n = float(n_c.sum())
    distance = _ordinal_distance(n_c) if level == "ordinal" else 1 - np.eye(len(values))
    expected = float((np.outer(n_c, n_c) * distance).sum())
    return math.nan if expected == 0 else 1 - (n - 1) * float((o * distance).sum()) / expected


def _ordinal_distance(n_c: FloatArray) -> FloatArray:
    """Return δ²_cv = (Σ_{g=c…v} n_g − (n_c + n_v)/2)²: the number of values between c and v."""
    below = np.cumsum(n_c) - n_c / 2
    distance: FloatArray = (below[:, None] - below[None, :]) ** 2
    return distance


def count_concordant_pairs(first: FloatArray, second: FloatArray) -> tuple[float, int]:
    """Return the number of concordant pairs and the number of pairs of two rankings.

    Pairs that are tied in `second` are left out. A pair tied only in `first` counts as half.

    >>> count_concordant_pairs(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    (2.0, 3)
    """
    num_concordant, num_pairs = 0.0, 0
    for i, j in itertools.combinations(range(len(first)), 2):
        first_sign, second_sign = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
        if second_sign != 0:
            num_concordant += 0.5 if first_sign == 0 else float(first_sign == second_sign)
            num_pairs += 1
    return num_concordant, num_pairs
