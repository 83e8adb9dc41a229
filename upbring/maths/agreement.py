"""How far people, or a rule and people, judge alike: kappa, alpha, pairs in the same order."""

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from upbring.maths.statistics import Numbers


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Return Cohen's κ (1960) of two judges: (p_o − p_e) / (1 − p_e); NaN if chance explains all.

    >>> round(kappa(["yes", "no", "no", "no"], ["yes", "yes", "no", "no"]), 3)
    0.5
    """
    n = len(first)
    assert n == len(second), f"{n} judgements against {len(second)}"
    if n == 0:
        return math.nan
    mine, theirs = Counter(first), Counter(second)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    expected = sum(mine[label] * theirs[label] for label in mine) / n**2
    return math.nan if expected == 1 else (observed - expected) / (1 - expected)


def alpha(
    units: Sequence[Sequence[float | None]], *, level: Literal["nominal", "ordinal"] = "nominal"
) -> float:
    """Return Krippendorff's α of values, unit by unit, None where a judge said nothing.

    α = 1 − (n − 1) · Σ o_cv δ²_cv / Σ n_c n_v δ²_cv over the coincidences o of values (Krippendorff
    2011); units with one value alone tell nothing. NaN if all values are the same.
    """
    told = [[v for v in unit if v is not None] for unit in units]
    told = [unit for unit in told if len(unit) > 1]
    values = sorted({v for unit in told for v in unit})
    place = {v: i for i, v in enumerate(values)}
    o = np.zeros((len(values), len(values)))
    for unit in told:
        for one, other in itertools.permutations(unit, 2):
            o[place[one], place[other]] += 1 / (len(unit) - 1)
    n_c = o.sum(1)
    n = float(n_c.sum())
    distance = _ordinal(n_c) if level == "ordinal" else 1 - np.eye(len(values))
    expected = float((np.outer(n_c, n_c) * distance).sum())
    return math.nan if expected == 0 else 1 - (n - 1) * float((o * distance).sum()) / expected


def _ordinal(n_c: Numbers) -> Numbers:
    """Return δ²_cv = (Σ_{g=c…v} n_g − (n_c + n_v)/2)²: how many values lie between the two."""
    below = np.cumsum(n_c) - n_c / 2
    distance: Numbers = (below[:, None] - below[None, :]) ** 2
    return distance


def alike(first: Numbers, second: Numbers) -> tuple[float, int]:
    """Return of two rankings of the same items how many pairs are in the same order, of how many.

    Pairs that `second` ties are left out; where `first` alone ties, half is right.

    >>> alike(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    (2.0, 3)
    """
    right, count = 0.0, 0
    for i, j in itertools.combinations(range(len(first)), 2):
        mine, theirs = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
        if theirs != 0:
            right += 0.5 if mine == 0 else float(mine == theirs)
            count += 1
    return right, count
