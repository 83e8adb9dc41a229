"""A vote read from another tool's file, and what the readers of all tools share."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from upbring.data.read import dialogue
from upbring.data.read.format_readers import PROMPT_FIELDS
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields
from upbring.errors import format_value
from upbring.votes.records import LabelResponse

PROMPT_NAMES = (*PROMPT_FIELDS, "instruction", "input", "context")
UNKNOWN_TIME = 0.0  # seconds since 1970, of files that give no time


@dataclass(frozen=True, slots=True)
class ImportedVote:
    """One annotator's ranking of the responses to a prompt; places as in `NewVote`."""

    line: int  # in the file
    prompt: tuple[Message, ...]
    responses: tuple[LabelResponse, ...]
    places: tuple[int, ...]
    annotator: str
    at: float = UNKNOWN_TIME
    seconds: float | None = None
    comment: str = ""


@dataclass(slots=True)
class ImportedVotes:
    """The votes of a file, and what was left out, by reason."""

    votes: list[ImportedVote] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find_prompt(fields: Fields, path: str) -> tuple[str, tuple[Message, ...]]:
    """Return the name of the prompt's field, and the prompt: a text or messages."""
    for name in PROMPT_NAMES:
        if fields.get(name):
            return name, parse_prompt(fields[name], f"{path}.{name}" if path else name)
    names = ", ".join(map(str, fields)) or "nothing"
    found = f"has no prompt among {names}"
    raise RowError(path or "row", found, f"name the field {' or '.join(PROMPT_NAMES[:4])}")


def parse_prompt(value: object, path: str) -> tuple[Message, ...]:
    """Return a prompt that is a text or a list of messages, and that the assistant answers next."""
    if not isinstance(value, list):
        return (Message("user", dialogue.require_text(value, path)),)
    messages = dialogue.check_turn_order(dialogue.parse_messages(value, path), path)
    if messages[-1].role not in {"user", "tool"}:
        raise RowError(path, f"ends with a turn of role {messages[-1].role}", "end with the user")
    return messages


def require_mapping(value: object, path: str) -> Mapping[str, object]:
    """Return an object of JSON."""
    if not isinstance(value, dict):
        raise RowError(path, f"is {format_value(value)}", "export the file again as JSON")
    return value


def places_of(order: Sequence[object], names: Sequence[str], path: str) -> tuple[int, ...]:
    """Return the place of each named response, given the names from best to worst."""
    for name in order:
        if name not in names:
            raise RowError(path, f"names {format_value(name)}", f"use {', '.join(names)}")
    if len(set(map(str, order))) < len(order):
        raise RowError(path, "names a response twice", "give each response one place")
    return tuple(order.index(name) + 1 if name in order else len(order) + 1 for name in names)


def parse_time(value: object) -> float:
    """Return seconds since 1970 of a number or of a time in ISO 8601; 0 if there is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        time = dt.datetime.fromisoformat(str(value))
    except ValueError:
        return UNKNOWN_TIME
    return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()


def present_items(value: object) -> Iterator[tuple[str, object]]:
    """Yield name and value of what an object has, but for nulls."""
    if isinstance(value, dict):
        yield from ((name, each) for name, each in value.items() if each is not None)
