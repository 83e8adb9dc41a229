import math

import pytest

from tests.votes.counted import counted, item, vote
from upbring.votes.counted_votes import (
    VoteFilter,
    agreed_places,
    count_votes,
    exported_name,
    flagged_responses,
    preference_share,
    says_all_bad,
    vote_agreement,
)
from upbring.votes.records import LabelFlag


def test_repeats_and_gold_items_do_not_count_and_a_later_vote_replaces_an_earlier_one() -> None:
    votes = [
        vote("ann", 1, 2),
        vote("bob", 1, 2),
        vote("ann", 2, 1),
        vote("bob", 2, 1, is_repeat=True),
        vote("ann", 1, 2, item_id=2),
    ]
    (found,) = count_votes([item(1), item(2, is_gold=True), item(3)], votes, VoteFilter())
    assert [(v.annotator.name, v.vote.places) for v in found.votes] == [
        ("bob", (1, 2)),
        ("ann", (2, 1)),
    ]


def test_an_adjudicated_vote_replaces_all_others() -> None:
    found = counted(vote("ann", 1, 2), vote("eve", 2, 1, adjudicated=True), vote("bob", 1, 2))
    assert [v.annotator.name for v in found.votes] == ["eve"]
    assert agreed_places(found) == (2, 1)
    assert preference_share(found, 0, 1) == 0
    assert vote_agreement(found) == 1


def test_votes_are_filtered_by_annotator_time_and_weight() -> None:
    votes = [vote("ann", 1, 2, at=10), vote("bob", 2, 1, at=20), vote("eve", 1, 1, at=30)]

    def names(**accepted: object) -> list[str]:
        return [v.annotator.name for v in counted(*votes, **accepted).votes]

    assert names(annotators=frozenset({"ann", "eve"})) == ["ann", "eve"]
    assert names(since=20) == ["bob", "eve"]
    assert names(until=30) == ["ann", "bob"]
    assert names(weights={"bob": 0.0}) == ["ann", "eve"]


def test_shares_and_places_are_weighted() -> None:
    votes = [vote("ann", 1, 2), vote("bob", 2, 1), vote("eve", 1, 1)]
    plain = counted(*votes)
    assert preference_share(plain, 0, 1) == 0.5
    assert agreed_places(plain) == (1, 1)
    heavy = counted(*votes, weights={"bob": 3.0})
    assert preference_share(heavy, 0, 1) == (1 + 0.5) / 5
    assert preference_share(heavy, 1, 0) == (3 + 0.5) / 5
    assert agreed_places(heavy) == (2, 1)


def test_agreement_is_the_share_of_pairs_in_the_same_order() -> None:
    votes = (vote("ann", 1, 2, 3), vote("bob", 1, 3, 2), vote("eve"))
    assert vote_agreement(counted(*votes, num_responses=3)) == pytest.approx(2 / 3)
    assert math.isnan(vote_agreement(counted(vote("ann", 1, 2))))


def test_all_bad_needs_more_than_half_of_the_weight() -> None:
    votes = [vote("ann", 1, 2, all_bad=True), vote("bob", 1, 2)]
    assert not says_all_bad(counted(*votes))
    assert says_all_bad(counted(*votes, weights={"ann": 1.5}))


def test_flags_of_all_votes_are_collected() -> None:
    flags = (LabelFlag(0, "harmful"), LabelFlag(None, "private"))
    found = counted(vote("ann", 1, 2, flags=flags), vote("bob", flags=(LabelFlag(1, "false"),)))
    assert flagged_responses(found, "harmful", "false") == {0, 1}
    assert flagged_responses(found, "private") == {None}


def test_the_name_of_a_simulated_annotator_says_so() -> None:
    assert exported_name(vote("ann").annotator) == "ann"
    assert exported_name(vote("ann", simulated=True).annotator) == "synthetic-ann"
    assert exported_name(vote("synthetic-1", simulated=True).annotator) == "synthetic-1"
