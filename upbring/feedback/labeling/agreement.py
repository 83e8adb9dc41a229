"""How far annotators agree with each other: percent, Fleiss' κ, Krippendorff's α of rankings.

Percent and κ are about pairs of responses: better, worse or tied. Repeats, control items and
decisions do not count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from upbring.maths.agreement import fleiss_kappa, pair_signs, percent_agreement, ranking_alpha
from upbring.maths.statistics import FloatArray
from upbring.votes.records import LabelItem, LabelVote


@dataclass(frozen=True, slots=True)
class GroupAgreement:
    """Agreement on the items with two rankings or more; NaN if there are none."""

    num_items: int
    num_annotators: int
    percent: float
    kappa: float
    alpha: float


def group_agreement(votes: Iterable[LabelVote], items: Sequence[LabelItem]) -> GroupAgreement:
    """Return the agreement of all annotators on the votes that count."""
    table = shared_rankings(votes, items)
    units = [unit for row in table for unit in pair_signs(row)]
    return GroupAgreement(
        len(table),
        len(table[0]) if table else 0,
        percent_agreement(units),
        fleiss_kappa(units),
        ranking_alpha(table),
    )


def shared_rankings(
    votes: Iterable[LabelVote], items: Sequence[LabelItem]
) -> list[list[tuple[int, ...] | None]]:
    """Return by item with two rankings or more the ranking of each annotator, or None."""
    work = {item.item_id for item in items if item.gold_places is None}
    rankings: dict[int, dict[int, tuple[int, ...]]] = {}
    for vote in votes:
        is_work = vote.item_id in work and not vote.is_repeat and not vote.adjudicated
        if is_work and vote.vote.places is not None:
            by_annotator = rankings.setdefault(vote.item_id, {})
            by_annotator[vote.annotator.annotator_id] = vote.vote.places
    shared = [found for found in rankings.values() if len(found) > 1]
    annotators = sorted({annotator for found in shared for annotator in found})
    return [[found.get(annotator) for annotator in annotators] for found in shared]


def count_agreeing(
    table: Sequence[Sequence[Sequence[float] | None]],
) -> tuple[FloatArray, FloatArray]:
    """Return by item how often two annotators order a pair alike, and how many such orders exist.

    A tie against an order is half. A pair that both tie says nothing about a preference.
    """
    agreeing, total = np.zeros(len(table)), np.zeros(len(table))
    for i, row in enumerate(table):
        for unit in pair_signs(row):
            signs = [sign for sign in unit if sign is not None]
            both = [(a, b) for a, b in combinations(signs, 2) if a or b]
            agreeing[i] += sum(1 - abs(a - b) / 2 for a, b in both)
            total[i] += len(both)
    return agreeing, total
