"""How good one annotator's votes are: consistency, care, agreement, and biases.

Every share counts pairs of responses, and its interval takes the votes as independent, not the
pairs. A bias is significant if its interval excludes ½: then the page says so.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np

from upbring.maths.statistics import UNKNOWN, Estimate, share_of_counts
from upbring.votes.records import LabelItem, LabelVote

TOO_FAST_WORDS_PER_MINUTE = 1200  # nobody reads that fast

Sign = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class AnnotatorQuality:
    """Shares of pairs with intervals; ½ is no bias.

    `prefers_upper`, `prefers_longer`: the upper, the longer response was ranked better.
    `faster_agrees`, `slower_agrees`: agreement with others in the faster and slower half of votes.
    """

    num_votes: int
    num_ties: int
    num_cannot_say: int
    num_skipped: int
    self_consistency: Estimate
    gold_accuracy: Estimate
    agreement: Estimate
    prefers_upper: Estimate
    prefers_longer: Estimate
    faster_agrees: Estimate
    slower_agrees: Estimate
    median_seconds: float
    num_too_fast: int


def annotator_quality(
    annotator_id: int, votes: Sequence[LabelVote], items: Mapping[int, LabelItem]
) -> AnnotatorQuality:
    """Return the quality of an annotator's votes, among the votes of all."""
    own = [v for v in votes if v.annotator.annotator_id == annotator_id and not v.adjudicated]
    first = [v for v in own if not v.is_repeat]
    ranked = [v for v in first if v.vote.places is not None]
    work = [v for v in ranked if items[v.item_id].gold_places is None]
    others = _rankings_by_item(
        v for v in votes if v.annotator.annotator_id != annotator_id and not v.adjudicated
    )
    repeated = {v.item_id: v for v in own if v.is_repeat}
    faster, slower = _split_by_speed(work)
    return AnnotatorQuality(
        num_votes=len(first),
        num_ties=sum(len(set(_places(v))) < len(_places(v)) for v in ranked),
        num_cannot_say=sum(v.vote.outcome == "cannot_say" for v in first),
        num_skipped=sum(v.vote.outcome == "skipped" for v in first),
        self_consistency=_agreement(
            (_places(v), [_places(repeated[v.item_id])])
            for v in work
            if v.item_id in repeated and repeated[v.item_id].vote.places is not None
        ),
        gold_accuracy=_agreement(
            (_places(v), [gold])
            for v in ranked
            if (gold := items[v.item_id].gold_places) is not None
        ),
        agreement=_agreement((_places(v), others.get(v.item_id, [])) for v in work),
        prefers_upper=_share(work, _upper_sign),
        prefers_longer=_share(work, lambda vote: _longer_sign(items[vote.item_id])),
        faster_agrees=_agreement((_places(v), others.get(v.item_id, [])) for v in faster),
        slower_agrees=_agreement((_places(v), others.get(v.item_id, [])) for v in slower),
        median_seconds=median(_seconds(work)) if _seconds(work) else math.nan,
        num_too_fast=sum(_is_too_fast(vote, items[vote.item_id]) for vote in work),
    )


@dataclass(frozen=True, slots=True)
class GroupQuality:
    """The same shares over the votes of all annotators."""

    self_consistency: Estimate
    gold_accuracy: Estimate
    prefers_upper: Estimate
    prefers_longer: Estimate


def group_quality(votes: Sequence[LabelVote], items: Mapping[int, LabelItem]) -> GroupQuality:
    """Return the quality of all annotators' votes together."""
    own = [v for v in votes if v.vote.places is not None and not v.adjudicated]
    ranked = [v for v in own if not v.is_repeat]
    work = [v for v in ranked if items[v.item_id].gold_places is None]
    repeated = {(v.annotator.annotator_id, v.item_id): v for v in own if v.is_repeat}
    return GroupQuality(
        _agreement(
            (_places(v), [_places(repeated[v.annotator.annotator_id, v.item_id])])
            for v in work
            if (v.annotator.annotator_id, v.item_id) in repeated
        ),
        _agreement(
            (_places(v), [gold])
            for v in ranked
            if (gold := items[v.item_id].gold_places) is not None
        ),
        _share(work, _upper_sign),
        _share(work, lambda vote: _longer_sign(items[vote.item_id])),
    )


def _places(vote: LabelVote) -> tuple[int, ...]:
    assert vote.vote.places is not None, "only called for rankings"
    return vote.vote.places


def _rankings_by_item(votes: Iterable[LabelVote]) -> dict[int, list[tuple[int, ...]]]:
    found: dict[int, list[tuple[int, ...]]] = {}
    for vote in votes:
        if vote.vote.places is not None and not vote.is_repeat:
            found.setdefault(vote.item_id, []).append(vote.vote.places)
    return found


def _order(places: Sequence[int], i: int, j: int) -> int:
    """Return 1 if response i is better than j, −1 if worse, 0 if tied."""
    return (places[i] < places[j]) - (places[i] > places[j])


def _agreement(rankings: Iterable[tuple[Sequence[int], Sequence[Sequence[int]]]]) -> Estimate:
    """Return the share of pairs that rankings order like their references; half for one tie."""
    agreed, counts = [], []
    for places, references in rankings:
        differences = [
            abs(_order(places, i, j) - _order(reference, i, j)) / 2
            for reference in references
            for i, j in combinations(range(len(places)), 2)
        ]
        agreed.append(len(differences) - sum(differences))
        counts.append(len(differences))
    return _estimate(agreed, counts)


def _share(votes: Sequence[LabelVote], sign_of: Callable[[LabelVote], Sign]) -> Estimate:
    """Return the share of strictly ordered pairs with the better response on the sign's side."""
    won, counts = [], []
    for vote in votes:
        places, sign = _places(vote), sign_of(vote)
        products = [
            _order(places, i, j) * sign(i, j) for i, j in combinations(range(len(places)), 2)
        ]
        won.append(sum(product > 0 for product in products))
        counts.append(sum(product != 0 for product in products))
    return _estimate(won, counts)


def _upper_sign(vote: LabelVote) -> Sign:
    position = {number: index for index, number in enumerate(vote.order)}
    return lambda i, j: (position[i] < position[j]) - (position[i] > position[j])


def _longer_sign(item: LabelItem) -> Sign:
    lengths = [len(response.text) for response in item.responses]
    return lambda i, j: (lengths[i] > lengths[j]) - (lengths[i] < lengths[j])


def _estimate(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    if not any(denominators):
        return UNKNOWN
    return share_of_counts(np.array(numerators, float), np.array(denominators, float))


def _seconds(votes: Iterable[LabelVote]) -> list[float]:
    return [vote.vote.seconds for vote in votes if vote.vote.seconds is not None]


def _split_by_speed(votes: Sequence[LabelVote]) -> tuple[list[LabelVote], list[LabelVote]]:
    """Return the faster and the slower half of the votes with a time."""
    timed = sorted(
        (v for v in votes if v.vote.seconds is not None), key=lambda v: v.vote.seconds or 0.0
    )
    return timed[: len(timed) // 2], timed[(len(timed) + 1) // 2 :]


def _is_too_fast(vote: LabelVote, item: LabelItem) -> bool:
    if vote.vote.seconds is None:
        return False
    num_words = sum(len(response.text.split()) for response in item.responses)
    return num_words > vote.vote.seconds * TOO_FAST_WORDS_PER_MINUTE / 60
