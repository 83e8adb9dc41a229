"""Reads the fields of a JSON request; a wrong value is an `ApiError` that names the field.

`null` is the same as a missing field. Unknown fields are ignored, as clients expect.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass

from upbring.errors import format_value
from upbring.serve.http.api_errors import ApiError

MAX_DEPTH = 64  # of nested arrays and objects

JSONValue = object


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object; `where` is its place in the request, for messages."""

    values: dict[str, JSONValue]
    where: str = ""

    def name(self, field: str) -> str:
        """Return the full name of a field."""
        return f"{self.where}.{field}" if self.where else field

    def has(self, field: str) -> bool:
        """Whether a field is present and not null."""
        return self.values.get(field) is not None

    def fail(self, field: str, expected: str) -> ApiError:
        """Return the error of a field that is not as expected."""
        name, found = self.name(field), format_value(self.values.get(field))
        return ApiError(f"{name}: is {found}; use {expected}", param=name)

    def integer(self, field: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number within limits."""
        value = self.values.get(field)
        if value is None:
            return default
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number:
            raise self.fail(field, f"a whole number from {low} to {high}")
        assert isinstance(value, int | float), "checked above"
        if not low <= value <= high or value != int(value):
            raise self.fail(field, f"a whole number from {low} to {high}")
        return int(value)

    def number(self, field: str, default: float, *, low: float, high: float) -> float:
        """Return a number within limits."""
        value = self.values.get(field)
        if value is None:
            return default
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number:
            raise self.fail(field, f"a number from {low:g} to {high:g}")
        assert isinstance(value, int | float), "checked above"
        if not low <= value <= high:  # also if it is not a number
            raise self.fail(field, f"a number from {low:g} to {high:g}")
        return float(value)

    def boolean(self, field: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(field)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fail(field, "true or false")
        return value

    def text(self, field: str, default: str = "") -> str:
        """Return a string."""
        value = self.values.get(field)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.fail(field, "a string")
        return value

    def choice(self, field: str, default: str, allowed: Collection[str]) -> str:
        """Return one of some strings."""
        value = self.values.get(field)
        if value is None:
            return default
        if not isinstance(value, str) or value not in allowed:
            raise self.fail(field, " or ".join(allowed))
        return value

    def array(self, field: str, *, most: int) -> list[JSONValue]:
        """Return an array; a missing one is empty."""
        value = self.values.get(field)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most:
            raise self.fail(field, f"an array of at most {most} elements")
        return value

    def fields(self, field: str) -> "Fields":
        """Return an object's fields; a missing one is empty."""
        value = self.values.get(field)
        if value is not None and not isinstance(value, dict):
            raise self.fail(field, "an object")
        return Fields(value or {}, self.name(field))


def read_fields(body: bytes) -> Fields:
    """Return the fields of a request's body."""
    try:
        values = json.loads(body.decode("utf-8"), parse_constant=_reject_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise ApiError(f"the body is not valid JSON ({reason}); send a JSON object") from error
    if not isinstance(values, dict):
        raise ApiError("the body is not a JSON object; send {…}")
    if _depth(values) > MAX_DEPTH:
        raise ApiError(f"the body has more than {MAX_DEPTH} nested arrays or objects")
    return Fields(values)


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _depth(value: JSONValue) -> int:
    """Return how deep arrays and objects are nested, or more than `MAX_DEPTH`."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        inner: list[JSONValue] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        depth, level = depth + 1, [each for each in inner if isinstance(each, dict | list)]
    return depth
