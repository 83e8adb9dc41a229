"""Resource limits of a chat template: a running budget, and checks before single operations.

`RenderBudget` counts the characters, objects and CPU time of one rendering. The check functions
raise `BudgetExceededError` before an operator, method or filter that could produce a text longer
than `limit` or could run for a long time. They are coarse and cheap upper bounds.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence, Sized

import jinja2
from jinja2.utils import Namespace

CHECKED_FILTERS = frozenset(
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
_MAX_SECONDS = 0.8  # CPU time; a dialogue of 1,000 turns takes 0.05
_STEPS_PER_CLOCK_CHECK = 8  # reading the clock costs 0.6 µs
_BASE_BYTES, _BYTES_PER_CHARACTER = 96_000_000, 256
BASE_MAX_CHARACTERS, _EXTRA_CHARACTERS_PER_CHARACTER = 1_000_000, 8
_ITEM_BYTES = 50  # rough size of a small Python object
_MAX_BITS = 4096
_SMALL_LIMIT = 1000  # characters; searching from the right is slow only for longer arguments
_WIDE_FORMAT = re.compile(r"\d{5}|\*")


class BudgetExceededError(jinja2.TemplateError):
    """The template exceeds a resource limit."""


class RenderBudget:
    """What one rendering may still use: CPU time, bytes, and the longest single text."""

    def __init__(self, num_characters: int) -> None:
        self.max_characters = BASE_MAX_CHARACTERS + _EXTRA_CHARACTERS_PER_CHARACTER * num_characters
        self._bytes_left = _BASE_BYTES + _BYTES_PER_CHARACTER * num_characters
        self._steps = 0
        self._deadline = time.thread_time() + _MAX_SECONDS

    def step(self) -> None:
        """Count one operation; raise when the time limit is reached."""
        self._steps += 1
        if self._steps % _STEPS_PER_CLOCK_CHECK == 0 and time.thread_time() > self._deadline:
            raise BudgetExceededError(f"it ran for more than {_MAX_SECONDS:g} s of CPU time")

    def charge(self, value: object) -> None:
        """Count a new value; raise when it is too long or the total is too large."""
        if isinstance(value, str):
            if len(value) > self.max_characters:
                raise BudgetExceededError(
                    f"it built a text of more than {self.max_characters:,} characters"
                )
            self._bytes_left -= len(value) + _ITEM_BYTES
        elif isinstance(value, (list, tuple, dict, set, frozenset, Namespace)):
            self._charge_all(value)
        else:
            self._bytes_left -= _ITEM_BYTES
        self.charge_characters(0)

    def charge_characters(self, count: int) -> None:
        """Count literal text that a loop or macro writes."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise BudgetExceededError(
                f"it built more than {_BASE_BYTES // 1_000_000} MB of text and lists"
            )

    def _charge_all(self, value: object) -> None:
        """Charge a container's items recursively; a repeated item is charged each time."""
        pending: list[Iterable[object]] = [_items_of(value)]
        while pending:
            for item in pending.pop():
                if isinstance(item, (list, tuple, dict, set, frozenset, Namespace)):
                    pending.append(_items_of(item))
                    self.step()
                else:
                    self.charge(item)
                self.charge_characters(_ITEM_BYTES)


def _items_of(value: object) -> Iterable[object]:
    """Return a container's items, including mapping keys."""
    if isinstance(value, Namespace):
        value = object.__getattribute__(value, "_Namespace__attrs")
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    assert isinstance(value, Iterable), "value must be a container"
    return value


def check_width(pattern: str) -> None:
    """Reject a format width of five digits or more, or one that is taken from a value."""
    if _WIDE_FORMAT.search(pattern):
        raise BudgetExceededError("it uses a format width above 9,999")


def check_operator(operator: str, left: object, *, right: object, limit: int) -> None:
    """Reject an operator whose result would be too large."""
    if operator == "*":
        _check_product(left, right, limit=limit)
    elif operator == "**" and isinstance(left, int) and isinstance(right, int):
        _check_size(left.bit_length() * abs(right), limit=_MAX_BITS)
    elif operator == "%" and isinstance(left, str):
        check_width(left)
        _check_size(len(left) + left.count("%") * _written_length(right), limit=limit)
    elif operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
        _check_size(len(left) + len(right), limit=limit)


def check_text_method(name: str, text: str, *, arguments: Sequence[object], limit: int) -> None:
    """Reject a string method whose result would be too long or whose search would be slow."""
    _check_numbers(arguments, limit=limit)
    argument_lengths = [len(item) for item in arguments if isinstance(item, str)]
    if name == "replace" and len(arguments) > 1:
        _check_replace(text, arguments, limit=limit)
    elif name == "join" and arguments:
        _check_join(text, arguments[0], limit=limit)
    elif name in {"strip", "lstrip", "rstrip", "rsplit", "rfind", "rindex", "rpartition"}:
        _check_size(max(argument_lengths, default=0), limit=_SMALL_LIMIT)


def check_filter(name: str, value: object, *, arguments: Sequence[object], limit: int) -> None:
    """Reject a filter whose result would be too long."""
    _check_numbers(arguments, limit=limit)
    if name == "sum":
        if any(isinstance(item, (list, tuple)) for item in arguments):
            raise BudgetExceededError("it sums values that are not numbers")
    elif name == "join":
        _check_join(str(arguments[0]) if arguments else "", value, limit=limit)
    elif name == "format":
        check_operator("%", str(value), right=arguments, limit=limit)
    elif name == "round":
        _check_numbers(arguments, limit=_SMALL_LIMIT)
    elif name == "tojson":
        _check_numbers(arguments, limit=16)
        _check_size(
            max((len(item) for item in arguments if isinstance(item, str)), default=0), limit=16
        )
    elif isinstance(value, str):
        _check_text_filter(name, value, arguments=arguments, limit=limit)


def _check_text_filter(name: str, text: str, *, arguments: Sequence[object], limit: int) -> None:
    """Reject a string filter whose result would be too long."""
    if name == "replace" and len(arguments) > 1:
        _check_replace(text, arguments, limit=limit)
    elif name == "trim":
        check_text_method("strip", text, arguments=arguments, limit=limit)
    elif name == "indent" and arguments:
        width = len(arguments[0]) if isinstance(arguments[0], str) else arguments[0]
        lines = text.count("\n") + 1
        _check_size(len(text) + lines * (width if isinstance(width, int) else 0), limit=limit)


def _check_product(left: object, right: object, *, limit: int) -> None:
    """Reject a sequence that is repeated too often, or a product with too many digits."""
    for sequence, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(sequence, (str, bytes, list, tuple)):
            _check_size(len(sequence) * times, limit=limit)
    if isinstance(left, int) and isinstance(right, int):
        _check_size(left.bit_length() + right.bit_length(), limit=_MAX_BITS)


def _check_replace(text: str, arguments: Sequence[object], *, limit: int) -> None:
    """Reject a replacement whose result would be too long."""
    old, new = str(arguments[0]), str(arguments[1])
    _check_size(len(text) + text.count(old) * len(new), limit=limit)


def _check_join(separator: str, items: object, *, limit: int) -> None:
    """Reject a join whose result, with separators, would be too long."""
    if isinstance(items, Sized):
        _check_size(len(items) * len(separator) + _written_length(items), limit=limit)


def _check_numbers(arguments: Sequence[object], *, limit: int) -> None:
    """Reject numeric arguments above the limit."""
    _check_size(max((abs(n) for n in arguments if isinstance(n, int)), default=0), limit=limit)


def _written_length(value: object) -> int:
    """Return the approximate length of `value` as text, two levels deep."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return sum(len(item) if isinstance(item, Sized) else 30 for item in value)
    return 30


def _check_size(size: float, *, limit: int) -> None:
    """Raise if `size` is above `limit`."""
    if size > limit:
        raise BudgetExceededError(
            f"one operation would have size {size:,.0f}; the limit is {limit:,}"
        )
