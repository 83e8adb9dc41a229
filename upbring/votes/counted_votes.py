"""Which stored votes count for training, and what they say about an item together.

Repeats and votes on gold items measure annotators and are left out. A decision of an adjudicator
replaces all other votes on its item. Of several votes by one annotator, the latest counts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from upbring.data.read.records import SYNTHETIC_PREFIX
from upbring.votes.consensus import consensus_places, disagreement
from upbring.votes.records import LabelAnnotator, LabelItem, LabelVote


@dataclass(frozen=True, slots=True)
class VoteFilter:
    """Which votes to use: annotators by name (empty: all), a time span, a weight by annotator."""

    annotators: frozenset[str] = frozenset()
    since: float = -math.inf  # seconds since 1970, included
    until: float = math.inf  # excluded
    weights: Mapping[str, float] = field(default_factory=dict)

    def accepts(self, vote: LabelVote) -> bool:
        """Whether a vote is used."""
        name = vote.annotator.name
        is_named = not self.annotators or name in self.annotators
        return is_named and self.since <= vote.at < self.until and self.weight(vote) > 0

    def weight(self, vote: LabelVote) -> float:
        """Return the weight of a vote, that of its annotator."""
        return self.weights.get(vote.annotator.name, 1.0)


@dataclass(frozen=True, slots=True)
class ItemVotes:
    """An item with its counted votes and their weights, in the order in which they were made."""

    item: LabelItem
    votes: tuple[LabelVote, ...]
    weights: tuple[float, ...]

    @property
    def rankings(self) -> list[tuple[tuple[int, ...], float]]:
        """The places and the weight of each vote that ranks."""
        pairs = zip(self.votes, self.weights, strict=True)
        return [(v.vote.places, w) for v, w in pairs if v.vote.places is not None]


def count_votes(
    items: Sequence[LabelItem], votes: Iterable[LabelVote], accepted: VoteFilter
) -> list[ItemVotes]:
    """Return the items that have counted votes, in their order."""
    by_item: dict[int, dict[int, LabelVote]] = {}
    decisions: dict[int, LabelVote] = {}
    for vote in votes:
        if vote.is_repeat or vote.vote.outcome == "skipped" or not accepted.accepts(vote):
            continue
        if vote.adjudicated:
            decisions[vote.item_id] = vote
        else:
            by_item.setdefault(vote.item_id, {})[vote.annotator.annotator_id] = vote
    counted = []
    for item in items:
        decision = decisions.get(item.item_id)
        found = [decision] if decision else list(by_item.get(item.item_id, {}).values())
        if found and item.gold_places is None:
            found.sort(key=lambda vote: vote.event_id)
            weights = tuple(accepted.weight(vote) for vote in found)
            counted.append(ItemVotes(item, tuple(found), weights))
    return counted


def preference_share(votes: ItemVotes, first: int, second: int) -> float:
    """Return the weighted share of rankings that place one response above another; a tie is ½."""
    total = sum(weight for _, weight in votes.rankings)
    above = sum(
        weight * (0.5 if places[first] == places[second] else places[first] < places[second])
        for places, weight in votes.rankings
    )
    return above / total


def agreed_places(votes: ItemVotes) -> tuple[int, ...]:
    """Return the places that all counted votes give together (see `consensus`)."""
    weights = {v.event_id: w for v, w in zip(votes.votes, votes.weights, strict=True)}
    places = consensus_places(votes.votes, weight=lambda vote: weights[vote.event_id])
    assert places is not None, "the caller checked that someone ranked"
    return places


def vote_agreement(votes: ItemVotes) -> float:
    """Return 1 minus the disagreement of the rankings; NaN for one alone; 1 if it was decided."""
    if any(vote.adjudicated for vote in votes.votes):
        return 1.0
    return math.nan if len(votes.rankings) < 2 else 1 - disagreement(votes.votes)  # noqa: PLR2004 -- a pair of votes


def says_all_bad(votes: ItemVotes) -> bool:
    """Whether more than half of the weight says that even the best response is unacceptable."""
    pairs = list(zip(votes.votes, votes.weights, strict=True))
    return sum(w for v, w in pairs if v.vote.all_bad) > sum(w for _, w in pairs) / 2


def flagged_responses(votes: ItemVotes, *reasons: str) -> set[int | None]:
    """Return the responses that any vote flags for one of the reasons; None is the prompt."""
    return {
        flag.response for each in votes.votes for flag in each.vote.flags if flag.reason in reasons
    }


def exported_name(annotator: LabelAnnotator) -> str:
    """Return an annotator's name; that of a simulated one says so."""
    is_marked = not annotator.simulated or annotator.name.startswith(SYNTHETIC_PREFIX)
    return annotator.name if is_marked else f"{SYNTHETIC_PREFIX}-{annotator.name}"
