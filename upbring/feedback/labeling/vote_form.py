"""The JSON of a vote as the page sends it: checked field by field, by position on the page.

The page knows a response by its position from top to bottom; the store by its number in the item.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from upbring.errors import InputError, format_value
from upbring.votes.records import LabelFlag, NewVote

MAX_TEXT_CHARACTERS = 100_000  # of a demonstration
MAX_COMMENT_CHARACTERS = 10_000
MAX_KEY_CHARACTERS = 100
MAX_SECONDS = 86_400.0
FIELDS = frozenset(
    {"outcome", "places", "all_bad", "demonstration", "edited", "flags", "comment", "seconds"}
)


def require_object(value: object, name: str = "body") -> Mapping[str, Any]:
    """Return a JSON object, or raise."""
    if not isinstance(value, dict):
        raise InputError(f"{name}: is {format_value(value)}; send a JSON object")
    return value


def require_string(fields: Mapping[str, Any], name: str, *, limit: int) -> str:
    """Return a text of at most `limit` characters, or raise."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise InputError(f"{name}: is {format_value(value)}; send text")
    if len(value) > limit:
        raise InputError(f"{name}: has {len(value)} characters; use at most {limit}")
    if "\0" in value or value.encode(errors="replace").decode() != value:
        raise InputError(f"{name}: has a NUL or half a surrogate pair; remove it")
    return value


def parse_vote(value: object, order: Sequence[int]) -> NewVote:
    """Return the vote in a JSON object; `order` has the responses' numbers by position."""
    fields = require_object(value, "vote")
    if unknown := sorted(fields.keys() - FIELDS):
        raise InputError(f"vote: has the unknown field {format_value(unknown[0])}; leave it out")
    demonstration = None
    if fields.get("demonstration") is not None:
        demonstration = require_string(fields, "demonstration", limit=MAX_TEXT_CHARACTERS)
    comment = ""
    if fields.get("comment"):
        comment = require_string(fields, "comment", limit=MAX_COMMENT_CHARACTERS)
    return NewVote(
        outcome=fields.get("outcome"),  # type: ignore[arg-type] # the store checks it
        places=_parse_places(fields.get("places"), order),
        all_bad=_parse_switch(fields.get("all_bad", False)),
        demonstration=demonstration,
        edited_response=_parse_position(fields.get("edited"), order),
        flags=_parse_flags(fields.get("flags", []), order),
        comment=comment,
        seconds=_parse_seconds(fields.get("seconds")),
    )


def _parse_places(value: object, order: Sequence[int]) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != len(order):
        raise InputError(
            f"places: is {format_value(value)}; send one place for each of {len(order)} responses"
        )
    by_number = dict(zip(order, value, strict=True))
    return tuple(by_number[number] for number in range(len(order)))


def _parse_position(value: object, order: Sequence[int]) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(order):
        raise InputError(f"response: {format_value(value)} is no position on the page")
    return order[value]


def _parse_flags(value: object, order: Sequence[int]) -> tuple[LabelFlag, ...]:
    if not isinstance(value, list) or len(value) > 3 * (len(order) + 1):
        raise InputError(f"flags: is {format_value(value)}; send a list of flags")
    flags = []
    for each in value:
        fields = require_object(each, "flags")
        reason: Any = fields.get("reason")
        flags.append(LabelFlag(_parse_position(fields.get("response"), order), reason))
    return tuple(flags)


def _parse_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"all_bad: is {format_value(value)}; send true or false")
    return value


def _parse_seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"seconds: is {format_value(value)}; send a number")
    return min(max(float(value), 0.0), MAX_SECONDS)
