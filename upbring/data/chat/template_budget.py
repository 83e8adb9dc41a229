"""How much a template makes: counted as it is made, and judged before one operation makes too much.

`Budget` counts what one rendering makes and how long it computes. The checks raise `TooMuchError`
when a single operator, method or filter could make a text longer than `longest`, or could compute
for long in one go. They are coarse and cheap: they bound from above.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence, Sized

import jinja2
from jinja2.utils import Namespace

CHECKED = frozenset(
    {
        "batch",
        "center",
        "format",
        "indent",
        "join",
        "replace",
        "round",
        "slice",
        "string",
        "sum",
        "tojson",
        "trim",
        "truncate",
    }
)
_SECONDS = 0.8  # of computing time; a dialogue of 1,000 turns takes 0.05
_STEPS_PER_LOOK = 8  # at the clock, which costs 0.6 µs
_BYTES, _BYTES_PER_CHARACTER = 96_000_000, 256
LONGEST, _LONGEST_PER_CHARACTER = 1_000_000, 8
_ITEM = 50  # bytes of a small Python object, roughly
_BITS = 4096
_SHORT = 1000  # characters: a needle so short cannot make a search from the right slow
_DIGITS = re.compile(r"\d{5}|\*")


class TooMuchError(jinja2.TemplateError):
    """The template would use up the machine."""


class Budget:
    """What one rendering may still use: computing time, bytes made, and the longest text."""

    def __init__(self, num_characters: int) -> None:
        self.longest = LONGEST + _LONGEST_PER_CHARACTER * num_characters
        self._bytes = _BYTES + _BYTES_PER_CHARACTER * num_characters
        self._steps = 0
        self._deadline = time.thread_time() + _SECONDS

    def step(self) -> None:
        """Count one operation, and stop when the time is up."""
        self._steps += 1
        if self._steps % _STEPS_PER_LOOK == 0 and time.thread_time() > self._deadline:
            raise TooMuchError(f"it computed for more than {_SECONDS:g} s")

    def charge(self, value: object) -> None:
        """Count what was just made, and stop when it is too long or all of it too much."""
        if isinstance(value, str):
            if len(value) > self.longest:
                raise TooMuchError(f"it made a text of more than {self.longest:,} characters")
            self._bytes -= len(value) + _ITEM
        elif isinstance(value, (list, tuple, dict, set, frozenset, Namespace)):
            self._charge_all(value)
        else:
            self._bytes -= _ITEM
        self.charge_characters(0)

    def charge_characters(self, count: int) -> None:
        """Count literal text that a loop or a macro writes."""
        self._bytes -= count
        if self._bytes < 0:
            raise TooMuchError(f"it made more than {_BYTES // 1_000_000} MB of text and lists")

    def _charge_all(self, value: object) -> None:
        """Charge a container with all it holds, however often it holds the same thing."""
        waiting: list[Iterable[object]] = [_held(value)]
        while waiting:
            for item in waiting.pop():
                if isinstance(item, (list, tuple, dict, set, frozenset, Namespace)):
                    waiting.append(_held(item))
                    self.step()
                else:
                    self.charge(item)
                self.charge_characters(_ITEM)


def _held(value: object) -> Iterable[object]:
    """Return what a container holds, keys included."""
    if isinstance(value, Namespace):
        value = object.__getattribute__(value, "_Namespace__attrs")
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    assert isinstance(value, Iterable), "only containers are opened"
    return value


def check_width(pattern: str) -> None:
    """Refuse a width of five digits or more, or one taken from a value, in a format."""
    if _DIGITS.search(pattern):
        raise TooMuchError("it formats with a width of more than 9,999")


def check_operator(operator: str, left: object, *, right: object, longest: int) -> None:
    """Refuse an operator whose result would be too large."""
    if operator == "*":
        _check_product(left, right, longest=longest)
    elif operator == "**" and isinstance(left, int) and isinstance(right, int):
        _check(left.bit_length() * abs(right), longest=_BITS)
    elif operator == "%" and isinstance(left, str):
        check_width(left)
        _check(len(left) + left.count("%") * _spelled(right), longest=longest)
    elif operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
        _check(len(left) + len(right), longest=longest)


def check_text(name: str, text: str, *, given: Sequence[object], longest: int) -> None:
    """Refuse a method of a text whose result would be too long, or its search too slow."""
    _check_numbers(given, longest=longest)
    needles = [len(item) for item in given if isinstance(item, str)]
    if name == "replace" and len(given) > 1:
        _check_replace(text, given, longest=longest)
    elif name == "join" and given:
        _check_join(text, given[0], longest=longest)
    elif name in {"strip", "lstrip", "rstrip", "rsplit", "rfind", "rindex", "rpartition"}:
        _check(max(needles, default=0), longest=_SHORT)


def check_filter(name: str, value: object, *, given: Sequence[object], longest: int) -> None:
    """Refuse a filter whose result would be too long."""
    _check_numbers(given, longest=longest)
    if name == "sum":
        if any(isinstance(item, (list, tuple)) for item in given):
            raise TooMuchError("it sums things that are not numbers")
    elif name == "join":
        _check_join(str(given[0]) if given else "", value, longest=longest)
    elif name == "format":
        check_operator("%", str(value), right=given, longest=longest)
    elif name == "round":
        _check_numbers(given, longest=_SHORT)
    elif name == "tojson":
        _check_numbers(given, longest=16)
        _check(max((len(item) for item in given if isinstance(item, str)), default=0), longest=16)
    elif isinstance(value, str):
        _check_text_filter(name, value, given=given, longest=longest)


def _check_text_filter(name: str, text: str, *, given: Sequence[object], longest: int) -> None:
    """Refuse a filter of a text whose result would be too long."""
    if name == "replace" and len(given) > 1:
        _check_replace(text, given, longest=longest)
    elif name == "trim":
        check_text("strip", text, given=given, longest=longest)
    elif name == "indent" and given:
        width = len(given[0]) if isinstance(given[0], str) else given[0]
        lines = text.count("\n") + 1
        _check(len(text) + lines * (width if isinstance(width, int) else 0), longest=longest)


def _check_product(left: object, right: object, *, longest: int) -> None:
    """Refuse to repeat a sequence too often, or numbers that only grow."""
    for many, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(many, (str, bytes, list, tuple)):
            _check(len(many) * times, longest=longest)
    if isinstance(left, int) and isinstance(right, int):
        _check(left.bit_length() + right.bit_length(), longest=_BITS)


def _check_replace(text: str, given: Sequence[object], *, longest: int) -> None:
    """Refuse a replacement that makes too long a text."""
    old, new = str(given[0]), str(given[1])
    _check(len(text) + text.count(old) * len(new), longest=longest)


def _check_join(separator: str, items: object, *, longest: int) -> None:
    """Refuse to join what is too long, separators counted."""
    if isinstance(items, Sized):
        _check(len(items) * len(separator) + _spelled(items), longest=longest)


def _check_numbers(given: Sequence[object], *, longest: int) -> None:
    """Refuse numbers that ask for too many characters."""
    _check(max((abs(n) for n in given if isinstance(n, int)), default=0), longest=longest)


def _spelled(value: object) -> int:
    """Return about how many characters `value` has when written out, two levels deep."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return sum(len(item) if isinstance(item, Sized) else 30 for item in value)
    return 30


def _check(size: float, *, longest: int) -> None:
    """Refuse a size above the bound."""
    if size > longest:
        raise TooMuchError(f"one operation would make {size:,.0f} of at most {longest:,}")
