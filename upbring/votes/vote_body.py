"""Checks a vote against its item, and converts it to and from the JSON of the history."""

import json
from collections.abc import Sequence
from typing import Any

from upbring.errors import InputError, format_value
from upbring.votes.records import (
    FLAG_REASONS,
    OUTCOMES,
    LabelFlag,
    NewVote,
    dense_places,
)


def check_vote(vote: NewVote, *, num_responses: int) -> NewVote:
    """Return a vote with places without gaps; raise if it does not fit its item."""
    if vote.outcome not in OUTCOMES:
        raise InputError(f"outcome: is {format_value(vote.outcome)}; use {', '.join(OUTCOMES)}")
    if (vote.outcome == "ranked") != (vote.places is not None):
        raise InputError("places: a ranking has places, and nothing else has; rank the responses")
    if vote.all_bad and vote.places is None:
        raise InputError("all_bad: is only for rankings; rank the responses")
    if vote.places is not None:
        _check_places(vote.places, num_responses)
    for flag in vote.flags:
        if flag.reason not in FLAG_REASONS:
            raise InputError(f"flags: {format_value(flag.reason)}; use {', '.join(FLAG_REASONS)}")
        _check_number(flag.response, "flags", num_responses)
    _check_number(vote.edited_response, "edited_response", num_responses)
    if vote.demonstration is not None and not vote.demonstration.strip():
        raise InputError("demonstration: is empty; write a response, or leave it out")
    places = None if vote.places is None else dense_places(vote.places)
    return NewVote(**{**_fields(vote), "places": places})


def encode_body(vote: NewVote, order: Sequence[int]) -> str:
    """Return the JSON of a vote and of the order in which its responses were shown."""
    fields = _fields(vote)
    fields["flags"] = [[flag.response, flag.reason] for flag in vote.flags]
    return json.dumps({**fields, "order": [*order]}, ensure_ascii=False, sort_keys=True)


def decode_body(text: str) -> tuple[NewVote, tuple[int, ...]]:
    """Return the vote and the order in a JSON text of `encode_body`."""
    fields = json.loads(text)
    order = tuple(fields.pop("order"))
    fields["flags"] = tuple(LabelFlag(response, reason) for response, reason in fields["flags"])
    if fields["places"] is not None:
        fields["places"] = tuple(fields["places"])
    return NewVote(**fields), order


def _fields(vote: NewVote) -> dict[str, Any]:
    return {name: getattr(vote, name) for name in NewVote.__dataclass_fields__}


def _check_places(places: Sequence[int], num_responses: int) -> None:
    if len(places) != num_responses:
        raise InputError(
            f"places: {len(places)} for {num_responses} responses; give each response a place"
        )
    for place in places:
        if isinstance(place, bool) or not isinstance(place, int) or not 1 <= place <= num_responses:
            raise InputError(f"places: {format_value(place)} is not between 1 and {num_responses}")


def _check_number(number: int | None, name: str, num_responses: int) -> None:
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if number is not None and not (is_number and 0 <= number < num_responses):
        raise InputError(
            f"{name}: {format_value(number)} is no response; use 0 to {num_responses - 1}"
        )
