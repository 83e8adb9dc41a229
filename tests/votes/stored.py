"""Stores with invented items, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from upbring.data.read.records import Message
from upbring.votes.assignment import AssignmentRules
from upbring.votes.clock import ClockSource
from upbring.votes.records import LabelResponse, NewItem, NewVote
from upbring.votes.store import VoteStore, open_store


@dataclass
class HandClock:
    """Two clocks that a test moves."""

    wall: float = 1_000_000.0
    monotonic: float = 50.0

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    @property
    def source(self) -> ClockSource:
        return ClockSource(lambda: self.wall, lambda: self.monotonic)


def new_item(
    number: int, *, num_responses: int = 4, gold_places: tuple[int, ...] | None = None
) -> NewItem:
    responses = tuple(
        LabelResponse(f"response {n} to {number}", f"model-{n}") for n in range(num_responses)
    )
    return NewItem((Message("user", f"question {number}"),), responses, gold_places=gold_places)


def ranking(*places: int) -> NewVote:
    return NewVote("ranked", places or (1, 2, 3, 4))


@contextmanager
def store_of(
    folder: Path,
    num_items: int,
    *,
    rules: AssignmentRules | None = None,
    clock: HandClock | None = None,
) -> Iterator[VoteStore]:
    with open_store(folder, rules=rules, clock=clock and clock.source) as store:
        store.add_items([new_item(number) for number in range(num_items)])
        yield store
