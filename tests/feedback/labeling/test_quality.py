import math
import random

import pytest

from upbring.data.read.records import Message
from upbring.feedback.labeling.quality import annotator_quality
from upbring.votes.assignment import shown_order
from upbring.votes.records import (
    LabelAnnotator,
    LabelItem,
    LabelResponse,
    LabelVote,
    NewVote,
    dense_places,
)

ANN, BOB = (LabelAnnotator(n, name, False, False) for n, name in ((1, "Ann"), (2, "Bob")))  # noqa: FBT003 -- people


def item_of(item_id: int, *, gold: tuple[int, ...] | None = None) -> LabelItem:
    texts = ["word " * (3 + 4 * n) for n in range(4)]
    responses = tuple(LabelResponse(text) for text in texts)
    return LabelItem(item_id, str(item_id), (Message("user", "q"),), responses, "", gold, 0.0)


def vote_of(
    who: LabelAnnotator,
    item: LabelItem,
    places: tuple[int, ...],
    *,
    is_repeat: bool = False,
    seconds: float = 10.0,
) -> LabelVote:
    order = shown_order(item.key, 4, seed=0, annotator_id=who.annotator_id, repeat=is_repeat)
    vote = NewVote("ranked", dense_places(places), seconds=seconds)
    return LabelVote(0, "", item.item_id, who, 0.0, is_repeat, False, order, vote)  # noqa: FBT003 -- no decision


def test_biases_that_were_put_in_are_found_and_others_are_not() -> None:
    draws = random.Random(1)
    items = {n: item_of(n) for n in range(60)}
    by_position, by_length, by_chance = [], [], []
    for item in items.values():
        order = shown_order(item.key, 4, seed=0, annotator_id=1, repeat=False)
        by_position.append(vote_of(ANN, item, tuple(order.index(n) + 1 for n in range(4))))
        by_length.append(vote_of(ANN, item, (4, 3, 2, 1)))
        by_chance.append(vote_of(ANN, item, tuple(draws.sample(range(1, 5), 4))))
    upper = annotator_quality(1, by_position, items)
    assert (upper.prefers_upper.value, upper.prefers_upper.low > 0.9) == (1, True)
    assert upper.prefers_longer.low < 0.5 < upper.prefers_longer.high
    longer = annotator_quality(1, by_length, items)
    assert longer.prefers_longer.value == 1
    assert longer.prefers_upper.low < 0.5 < longer.prefers_upper.high
    chance = annotator_quality(1, by_chance, items)
    assert chance.prefers_upper.low < 0.5 < chance.prefers_upper.high


def test_consistency_care_and_agreement_are_shares_of_pairs() -> None:
    items = {n: item_of(n) for n in range(30)} | {99: item_of(99, gold=(1, 2, 3, 4))}
    votes = []
    for n in range(30):
        votes += [vote_of(ANN, items[n], (1, 2, 3, 4)), vote_of(BOB, items[n], (1, 2, 4, 3))]
    votes += [vote_of(ANN, items[n], (2, 1, 3, 4), is_repeat=True) for n in range(15)]
    votes += [vote_of(ANN, items[99], (1, 2, 4, 4))]  # right in 5 pairs and half right in one
    found = annotator_quality(1, votes, items)
    assert found.agreement.value == pytest.approx(5 / 6)
    assert found.self_consistency.value == pytest.approx(5 / 6)
    assert found.self_consistency.count == 15
    assert found.gold_accuracy.value == pytest.approx(5.5 / 6)
    assert (found.num_votes, found.num_ties) == (31, 1)


def test_fast_votes_are_counted_and_compared_with_slow_ones() -> None:
    items = {n: item_of(n) for n in range(40)}  # 3 + 7 + 11 + 15 = 36 words
    votes = []
    for n in range(40):
        is_fast = n % 2 == 0  # 36 words in 1.7 s is 1,270 a minute
        places = (4, 3, 2, 1) if is_fast else (1, 2, 3, 4)
        votes.append(vote_of(ANN, items[n], places, seconds=1.7 if is_fast else 1.9))
        votes.append(vote_of(BOB, items[n], (1, 2, 3, 4)))
    found = annotator_quality(1, votes, items)
    assert (found.num_too_fast, found.median_seconds) == (20, pytest.approx(1.8))
    assert (found.faster_agrees.value, found.slower_agrees.value) == (0, 1)


def test_without_votes_nothing_is_known() -> None:
    found = annotator_quality(1, [], {})
    assert (found.num_votes, found.agreement.count) == (0, 0)
    assert math.isnan(found.median_seconds)
