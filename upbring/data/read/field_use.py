"""Which fields of the rows were read, and what the others contain.

A field that is not read is not learned: `check` warns about it, and the training commands name it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from upbring.data.read.rows import Fields

MAX_VALUES = 6  # distinct values of a field that are kept
_MAX_VALUE_CHARACTERS = 24
_TURN_KEYS = frozenset({"role", "content", "from", "value", "weight"})
_EMPTY: tuple[object, ...] = (None, "", [], {})
_VERDICT = re.compile(
    r"labels?|kto_tag|winner|preferred|preference|preferred_\w+|better|best|choice|judge?ment"
    r"|ranks?|ratings?|scores?|votes?|stars|(?:is_)?(?:correct|good|bad|accepted|helpful)"
)
_METADATA = re.compile(
    r"(?:.*_)?(?:id|ids|idx|index|key|uuid|hash|md5|sha256|url|link|source|dataset|split|category"
    r"|categories|topic|subject|area|tags?|types?|name|author|license|licence|lang|language|locale"
    r"|date|time|timestamp|created|updated|version|counter|count|length|tokens)|.*(?:_at|_list|id)"
)


class TrackedFields(Mapping[str, object]):
    """The fields of a row, which remember what was read; testing for a name does not read it."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self.names_read: set[str] = set()

    def __getitem__(self, name: str) -> object:
        value = self._fields[name]
        self.names_read.add(name)
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(slots=True)
class UnreadField:
    """A field that is not read: in how many rows it is filled, and its first distinct values."""

    num_filled: int = 0
    values: Counter[str] = field(default_factory=Counter)
    has_other_values: bool = False  # more than are kept, or longer ones, or no scalars

    def add(self, value: object) -> None:
        """Count one value."""
        self.num_filled += 1
        text = str(value) if isinstance(value, str | int | float) else ""
        is_short = 0 < len(text) <= _MAX_VALUE_CHARACTERS
        if is_short and (text in self.values or len(self.values) < MAX_VALUES):
            self.values[text] += 1
        else:
            self.has_other_values = True


@dataclass(slots=True)
class FieldUse:
    """The fields of many rows: those that were read in any row, and the filled ones that were not.

    A key of a turn is named like `messages[].reasoning_content`.
    """

    names_read: set[str] = field(default_factory=set)
    _filled: dict[str, UnreadField] = field(default_factory=dict)

    def add(self, row: Fields, names_read: set[str]) -> None:
        """Count a row, of which the named fields were read."""
        self.names_read |= names_read
        for name, value in row.items():
            if name in names_read:
                self._add_turn_keys(name, value)
            elif value not in _EMPTY:
                self._filled.setdefault(name, UnreadField()).add(value)

    @property
    def unread(self) -> dict[str, UnreadField]:
        """The fields that no row was read from, in alphabetical order."""
        return {n: f for n, f in sorted(self._filled.items()) if n not in self.names_read}

    def _add_turn_keys(self, name: str, value: object) -> None:
        if not isinstance(value, list):
            return
        for turn in value:
            if isinstance(turn, dict) and ("role" in turn or "from" in turn):
                for key in turn.keys() - _TURN_KEYS:
                    if turn[key] not in _EMPTY:
                        self._filled.setdefault(f"{name}[].{key}", UnreadField()).add(turn[key])


def is_verdict(name: str) -> bool:
    """Return whether a field seems to say which response is better, or how good it is.

    >>> is_verdict("Winner"), is_verdict("category")
    (True, False)
    """
    return _VERDICT.fullmatch(name.casefold()) is not None


def is_metadata(name: str) -> bool:
    """Return whether a field seems to describe the row, and is no part of a dialogue.

    >>> is_metadata("question_id"), is_metadata("reasoning")
    (True, False)
    """
    return _METADATA.fullmatch(name.casefold().rpartition("[].")[2]) is not None
