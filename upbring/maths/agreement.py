"""Agreement between annotators, or between a rule and annotators: percent, κ, α, concordant pairs.

A unit is what several annotators judge, such as a pair of responses; None is a missing rating. For
rankings there are two views: the places of the responses as ordinal or interval ratings
(`krippendorff_alpha`), or the whole ranking as one rating (`ranking_alpha`).
"""

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from upbring.maths.statistics import FloatArray

Level = Literal["nominal", "ordinal", "interval"]
SIGNS = (-1.0, 0.0, 1.0)  # of a pair of responses: the first is better, a tie, worse


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


def percent_agreement(units: Sequence[Sequence[float | None]]) -> float:
    """Return the share of pairs of annotators who give a unit the same value, as a mean over units.

    Units with a single value are ignored; NaN without any other.

    >>> percent_agreement([[1, 1, 2], [2, 2, None], [1, None, None]])
    0.6666666666666666
    """
    shares = [_pair_agreement(unit) for unit in _rated_units(units)]
    return float(np.mean(shares)) if shares else math.nan


def fleiss_kappa(units: Sequence[Sequence[float | None]]) -> float:
    """Return Fleiss' κ (1971): (P̄ − P̄_e) / (1 − P̄_e); NaN if P̄_e is 1 or nothing is rated twice.

    P̄ is the percent agreement and P̄_e = Σ p_j², from the share p_j of each value. Fleiss assumes
    that all units have the same number of ratings; here they may differ.
    """
    rated_units = _rated_units(units)
    observed = percent_agreement(rated_units)
    counts = Counter(value for unit in rated_units for value in unit)
    n = counts.total()
    expected = sum(count**2 for count in counts.values()) / n**2 if n else math.nan
    return math.nan if n == 0 or expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(
    units: Sequence[Sequence[float | None]], *, level: Level = "nominal"
) -> float:
    """Return Krippendorff's α of the values of each unit.

    α = 1 − (n − 1) · Σ o_cv δ²_cv / Σ n_c n_v δ²_cv over the coincidences o of values (Krippendorff
    2011). Units with a single value are ignored. NaN if all values are equal.
    """
    values, o = _coincidences(units)
    n_c = o.sum(1)
    distance = _DISTANCES[level](np.asarray(values, np.float64), n_c)
    return _alpha(o, n_c, distance)


def ranking_alpha(items: Sequence[Sequence[Sequence[float] | None]]) -> float:
    """Return α of whole rankings: `items[i][a]` are the places that annotator a gives in item i.

    The distance of two rankings is Kendall's with ties: over all pairs of responses, the mean of 1
    for opposite orders and ½ for a tie against an order. The expected distance is that of rankings
    with the same share of ties and random orders, because the numbers of the responses mean
    nothing. It is Krippendorff's α of the signs −1, 0 and 1 of all pairs with the distance
    |a − b| / 2, and with expected counts that do not change when responses are renumbered. Every
    pair of responses counts equally, so an item with more responses counts more.
    """
    return alpha_of_coincidences(ranking_coincidences(items).sum(0))


def ranking_coincidences(items: Sequence[Sequence[Sequence[float] | None]]) -> FloatArray:
    """Return how often the signs −1, 0 and 1 of a pair coincide in each item `[n, 3, 3]`."""
    found = np.zeros((len(items), len(SIGNS), len(SIGNS)))
    for i, rankings in enumerate(items):
        found[i] = _coincidences(pair_signs(rankings), values=SIGNS)[1]
    return found


def alpha_of_coincidences(o: FloatArray) -> float:
    """Return α of rankings, as `ranking_alpha` says, from the coincidences of signs `[3, 3]`."""
    signs = np.asarray(SIGNS)
    n_c = o.sum(1)
    return _alpha(o, (n_c + n_c[::-1]) / 2, np.abs(signs[:, None] - signs[None, :]) / 2)


def pair_signs(rankings: Sequence[Sequence[float] | None]) -> list[list[float | None]]:
    """Return one unit per pair of responses: −1 if the first is better, 1 if worse, 0 for a tie.

    >>> pair_signs([(1, 2), (1, 1), None])
    [[-1.0, 0.0, None]]
    """
    count = max((len(each) for each in rankings if each is not None), default=0)
    return [
        [None if each is None else float(np.sign(each[i] - each[j])) for each in rankings]
        for i, j in itertools.combinations(range(count), 2)
    ]


def _rated_units(units: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Return the units with at least two ratings, without the missing ones."""
    rated_units = [[v for v in unit if v is not None] for unit in units]
    return [unit for unit in rated_units if len(unit) > 1]


def _pair_agreement(unit: Sequence[float]) -> float:
    num_ratings = len(unit)
    num_equal = sum(count * (count - 1) for count in Counter(unit).values())
    return num_equal / (num_ratings * (num_ratings - 1))


def _coincidences(
    units: Sequence[Sequence[float | None]], values: Sequence[float] = ()
) -> tuple[list[float], FloatArray]:
    """Return the sorted values, and how often each pair of values coincides in a unit `[V, V]`."""
    rated_units = _rated_units(units)
    found = sorted({*values, *(v for unit in rated_units for v in unit)})
    value_index = {v: i for i, v in enumerate(found)}
    o = np.zeros((len(found), len(found)))
    for unit in rated_units:
        for first, second in itertools.permutations(unit, 2):
            o[value_index[first], value_index[second]] += 1 / (len(unit) - 1)
    return found, o


def _alpha(o: FloatArray, n_c: FloatArray, distance: FloatArray) -> float:
    expected = float((np.outer(n_c, n_c) * distance).sum())
    n = float(o.sum())
    return math.nan if expected == 0 else 1 - (n - 1) * float((o * distance).sum()) / expected


def _nominal_distance(values: FloatArray, n_c: FloatArray) -> FloatArray:
    del n_c
    return 1 - np.eye(len(values))


def _interval_distance(values: FloatArray, n_c: FloatArray) -> FloatArray:
    del n_c
    distance: FloatArray = (values[:, None] - values[None, :]) ** 2
    return distance


def _ordinal_distance(values: FloatArray, n_c: FloatArray) -> FloatArray:
    """Return δ²_cv = (Σ_{g=c…v} n_g − (n_c + n_v)/2)²: the number of values between c and v."""
    del values
    below = np.cumsum(n_c) - n_c / 2
    distance: FloatArray = (below[:, None] - below[None, :]) ** 2
    return distance


_DISTANCES = {
    "nominal": _nominal_distance,
    "ordinal": _ordinal_distance,
    "interval": _interval_distance,
}


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
