"""Votes on an item, in short."""

from upbring.data.read.records import Message
from upbring.votes.counted_votes import ItemVotes, VoteFilter, count_votes
from upbring.votes.records import (
    LabelAnnotator,
    LabelFlag,
    LabelItem,
    LabelResponse,
    LabelVote,
    NewVote,
)


def item(number: int = 1, *, num_responses: int = 2, is_gold: bool = False) -> LabelItem:
    responses = tuple(LabelResponse("abcdefghi"[k]) for k in range(num_responses))
    gold = tuple(range(1, num_responses + 1)) if is_gold else None
    return LabelItem(number, f"key-{number}", (Message("user", "Q"),), responses, "", gold, 0.0)


def vote(
    name: str,
    *places: int,
    item_id: int = 1,
    at: float = 0.0,
    event_id: int = 0,
    is_repeat: bool = False,
    adjudicated: bool = False,
    simulated: bool = False,
    all_bad: bool = False,
    demonstration: str | None = None,
    flags: tuple[LabelFlag, ...] = (),
) -> LabelVote:
    annotator = LabelAnnotator(sum(map(ord, name)), name, simulated, adjudicates=False)
    new = NewVote(
        "ranked" if places else "cannot_say",
        places or None,
        all_bad=all_bad,
        demonstration=demonstration,
        flags=flags,
    )
    number = event_id or next(_NUMBERS)
    return LabelVote(number, str(number), item_id, annotator, at, is_repeat, adjudicated, (), new)


def counted(*votes: LabelVote, num_responses: int = 2, **accepted: object) -> ItemVotes:
    (found,) = count_votes(
        [item(num_responses=num_responses)],
        votes,
        VoteFilter(**accepted),  # type: ignore[arg-type]  # its fields
    )
    return found


_NUMBERS = iter(range(1, 1_000_000))
