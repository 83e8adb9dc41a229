import itertools
import math
import random

import pytest

from tests.feedback.labeling.test_quality import item_of, vote_of
from upbring.feedback.labeling.agreement import count_agreeing, group_agreement
from upbring.votes.records import LabelAnnotator

GROUP = [LabelAnnotator(n, f"annotator {n}", False, False) for n in range(3)]  # noqa: FBT003 -- people


def test_agreement_counts_pairs_of_the_items_that_two_people_ranked() -> None:
    draws = random.Random(0)
    items = [item_of(n) for n in range(20)] + [item_of(20, gold=(1, 2, 3, 4))]
    votes = [
        vote_of(who, item, tuple(draws.sample(range(1, 5), 4)))
        for item in items
        for who in GROUP
        if draws.random() < 0.8
    ]
    by_item: dict[int, list[tuple[int, ...]]] = {}
    for vote in votes:
        if vote.item_id < 20:
            by_item.setdefault(vote.item_id, []).append(vote.vote.places or ())
    shared = [places for places in by_item.values() if len(places) > 1]
    shares = []
    for places in shared:
        for i, j in itertools.combinations(range(4), 2):
            signs = [each[i] < each[j] for each in places]
            pairs = list(itertools.combinations(signs, 2))
            shares.append(sum(a == b for a, b in pairs) / len(pairs))
    found = group_agreement(votes, items)
    assert (found.num_items, found.num_annotators) == (len(shared), 3)
    assert found.percent == pytest.approx(sum(shares) / len(shares), abs=1e-9)
    assert abs(found.kappa) < 0.3
    assert abs(found.alpha) < 0.3


def test_equal_rankings_agree_and_single_ones_are_unknown() -> None:
    items = [item_of(n) for n in range(5)]
    votes = [vote_of(who, item, (1, 2, 3, 4)) for item in items for who in GROUP]
    found = group_agreement(votes, items)
    assert (found.percent, found.alpha) == (1, 1)
    alone = group_agreement(votes[::3], items)
    assert alone.num_items == 0
    assert math.isnan(alone.percent)


def test_a_tie_is_half_an_agreement_with_an_order_and_two_ties_are_none() -> None:
    orders, ties = [(1, 2, 2), (1, 1, 2)], [(1, 1), (1, 1)]  # of the three pairs: ½, 1, ½
    agreeing, total = count_agreeing([orders, ties, [(1, 2), (2, 1)], [(1, 2), None]])
    assert agreeing.tolist() == [2.0, 0.0, 0.0, 0.0]
    assert total.tolist() == [3.0, 0.0, 1.0, 0.0]
