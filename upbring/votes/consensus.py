"""The consensus of several votes on an item, and how much they disagree.

Rule: an adjudicated vote decides. Otherwise each response gets the mean of its places among all
responses, where ties share the mean of the places that they cover (Borda count); a lower mean is
better, equal means are ties. Votes may have weights. Repeats, skipped items and `cannot_say` do not
count.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from upbring.votes.records import LabelVote, dense_places


def counted_rankings(votes: Iterable[LabelVote]) -> list[tuple[int, ...]]:
    """Return the places of the votes that count for the consensus."""
    return [
        vote.vote.places
        for vote in votes
        if vote.vote.places is not None and not vote.is_repeat and not vote.adjudicated
    ]


def consensus_places(
    votes: Sequence[LabelVote], *, weight: Callable[[LabelVote], float] = lambda _: 1.0
) -> tuple[int, ...] | None:
    """Return the consensus of the votes on one item; None if nobody ranked."""
    decisions = [v.vote.places for v in votes if v.adjudicated and v.vote.places is not None]
    if decisions:
        return decisions[-1]
    weighted = [
        (Fraction(weight(vote)), shared_places(places))
        for vote in votes
        for places in counted_rankings([vote])
    ]
    if not weighted:
        return None
    columns = zip(*([w * place for place in places] for w, places in weighted), strict=True)
    totals = [sum(column, Fraction()) for column in columns]
    order = {total: index for index, total in enumerate(sorted(set(totals)), start=1)}
    return dense_places([order[total] for total in totals])


def shared_places(places: Sequence[int]) -> tuple[Fraction, ...]:
    """Return places where ties share the mean of the places that they cover.

    >>> [str(place) for place in shared_places([1, 2, 2, 3])]
    ['1', '5/2', '5/2', '4']
    """
    return tuple(
        Fraction(2 * sum(p < place for p in places) + sum(p == place for p in places) + 1, 2)
        for place in places
    )


def pairwise_preferences(votes: Iterable[LabelVote]) -> dict[tuple[int, int], list[int]]:
    """Return the votes on each pair of responses: 1 prefers the first, −1 the second, 0 ties."""
    found: dict[tuple[int, int], list[int]] = {}
    for places in counted_rankings(votes):
        for i, j in combinations(range(len(places)), 2):
            sign = (places[i] < places[j]) - (places[i] > places[j])
            found.setdefault((i, j), []).append(sign)
    return found


def disagreement(votes: Iterable[LabelVote]) -> float:
    """Return the share of (pair of responses, pair of votes) that are ordered differently.

    A tie against a preference counts half. 0 if fewer than two votes rank.
    """
    differences = [
        abs(one - other) / 2
        for signs in pairwise_preferences(votes).values()
        for one, other in combinations(signs, 2)
    ]
    return sum(differences) / len(differences) if differences else 0.0


def is_disputed(votes: Sequence[LabelVote]) -> bool:
    """Whether two votes order a pair of responses in opposite ways, and nobody has decided."""
    if any(vote.adjudicated for vote in votes):
        return False
    return any({1, -1} <= set(signs) for signs in pairwise_preferences(votes).values())
