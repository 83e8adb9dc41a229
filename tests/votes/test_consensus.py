import itertools
import random
from collections.abc import Sequence

from scipy.stats import rankdata

from upbring.votes.consensus import consensus_places, disagreement, is_disputed, shared_places
from upbring.votes.records import LabelAnnotator, LabelVote, NewVote

ANN = LabelAnnotator(1, "Ann", simulated=False, adjudicates=True)


def vote(
    places: Sequence[int] | None, *, adjudicated: bool = False, is_repeat: bool = False
) -> LabelVote:
    new = NewVote("ranked", tuple(places)) if places else NewVote("cannot_say")
    return LabelVote(1, "k", 1, ANN, 0.0, is_repeat, adjudicated, (), new)


def test_ties_share_the_mean_of_their_places() -> None:
    draws = random.Random(0)
    for _ in range(50):
        places = [draws.randint(1, 5) for _ in range(draws.randint(2, 9))]
        assert [float(p) for p in shared_places(places)] == rankdata(places).tolist()


def test_the_consensus_is_the_order_of_mean_places() -> None:
    votes = [vote([1, 2, 3]), vote([2, 1, 3]), vote([1, 3, 2])]  # means 4/3, 2, 8/3
    assert consensus_places(votes) == (1, 2, 3)
    assert consensus_places([vote([1, 2]), vote([2, 1])]) == (1, 1)
    assert consensus_places([vote(None)]) is None


def test_an_adjudicated_vote_decides_and_a_repeat_does_not_count() -> None:
    votes = [vote([1, 2]), vote([1, 2]), vote([2, 1], is_repeat=True)]
    assert consensus_places(votes) == (1, 2)
    assert not is_disputed(votes)
    votes += [vote([2, 1])]
    assert is_disputed(votes)
    votes += [vote([2, 1], adjudicated=True)]
    assert consensus_places(votes) == (2, 1)
    assert not is_disputed(votes)


def test_disagreement_is_the_share_of_pairs_ordered_differently() -> None:
    votes = [vote([1, 2, 3]), vote([1, 2, 2])]
    assert disagreement(votes) == (0 + 0 + 0.5) / 3
    assert disagreement([vote([1, 2, 3]), vote([2, 3, 1])]) == 2 / 3
    assert disagreement([vote([1, 2])]) == 0
    assert not is_disputed(votes)
    assert is_disputed([vote([1, 2, 3]), vote([2, 3, 1])])


def test_the_consensus_of_equal_votes_is_that_vote() -> None:
    for places in itertools.permutations(range(1, 4)):
        assert consensus_places([vote(places)] * 3) == places
