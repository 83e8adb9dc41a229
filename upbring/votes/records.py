"""What the vote store holds: items with responses, annotators, leases and votes.

Records contain only text and numbers. Excluded: how they are stored (`schema`, `store`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from upbring.data.read.records import Message

Outcome = Literal["ranked", "cannot_say", "skipped"]
FlagReason = Literal["harmful", "false", "private"]
OUTCOMES: tuple[Outcome, ...] = ("ranked", "cannot_say", "skipped")
FLAG_REASONS: tuple[FlagReason, ...] = ("harmful", "false", "private")
MIN_RESPONSES, MAX_RESPONSES = 2, 9  # a digit of the keyboard is a place


@dataclass(frozen=True, slots=True)
class LabelResponse:
    """One response and the model that gave it ("" if unknown); the browser never gets the model."""

    text: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class NewItem:
    """A prompt with 2–9 responses to rank.

    `row` is the line of the prompt's file, for annotators that need more than the prompt.
    """

    prompt: tuple[Message, ...]
    responses: tuple[LabelResponse, ...]
    row: str = ""
    gold_places: tuple[int, ...] | None = None
    priority: float = 0.0

    @property
    def key(self) -> str:
        """The hash of prompt and responses: equal content is one item."""
        content = [[m.role, m.content] for m in self.prompt], [r.text for r in self.responses]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class LabelItem:
    """A stored item."""

    item_id: int
    key: str
    prompt: tuple[Message, ...]
    responses: tuple[LabelResponse, ...]
    row: str
    gold_places: tuple[int, ...] | None
    priority: float


@dataclass(frozen=True, slots=True)
class LabelAnnotator:
    """Someone who votes. An adjudicator also decides items on which the others disagree."""

    annotator_id: int
    name: str
    simulated: bool
    adjudicates: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """An item that is reserved for an annotator until `expires_at` (seconds since 1970).

    `order` has the numbers of the responses from top to bottom, as the annotator sees them.
    """

    item_id: int
    annotator_id: int
    is_repeat: bool
    is_adjudication: bool
    order: tuple[int, ...]
    expires_at: float


@dataclass(frozen=True, slots=True)
class LabelFlag:
    """A problem of a response, by its number in the item; None is the prompt."""

    response: int | None
    reason: FlagReason


@dataclass(frozen=True, slots=True)
class NewVote:
    """What an annotator submits on one item.

    `places` has one place per response in the item's order (not as shown) and is None unless the
    outcome is `ranked`. `all_bad` says that even the best response is unacceptable.
    """

    outcome: Outcome
    places: tuple[int, ...] | None = None
    all_bad: bool = False
    demonstration: str | None = None
    edited_response: int | None = None
    flags: tuple[LabelFlag, ...] = ()
    comment: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LabelVote:
    """A stored vote that counts."""

    event_id: int
    key: str
    item_id: int
    annotator: LabelAnnotator
    at: float
    is_repeat: bool
    adjudicated: bool
    order: tuple[int, ...]
    vote: NewVote


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One row of the append-only history: a vote, or an undo of the vote `undone_id`."""

    event_id: int
    key: str
    kind: Literal["vote", "undo"]
    annotator_id: int
    item_id: int
    at: float
    undone_id: int | None


def dense_places(places: Sequence[int]) -> tuple[int, ...]:
    """Return places without gaps: 1 is best, equal places are ties.

    >>> dense_places([3, 1, 3, 9])
    (2, 1, 2, 3)
    """
    ranks = {place: index + 1 for index, place in enumerate(sorted(set(places)))}
    return tuple(ranks[place] for place in places)
