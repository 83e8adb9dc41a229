"""Check whether a response is JSON with given keys; text around the JSON is not accepted."""

import json
from collections.abc import Collection


def is_json(text: str) -> bool:
    """Return whether the whole text is one JSON value.

    >>> is_json('{"a": [1, 2]}'), is_json('Sure! {"a": 1}'), is_json("NaN")
    (True, False, False)
    """
    return _parse(text)[0]


def has_keys(text: str, keys: Collection[str], *, is_exact: bool = False) -> bool:
    """Return whether the text is a JSON object with these keys, and no others if `is_exact`.

    >>> has_keys('{"name": "Ada", "born": 1815}', ["name"])
    True
    """
    is_valid, value = _parse(text)
    if not is_valid or not isinstance(value, dict):
        return False
    return value.keys() == set(keys) if is_exact else value.keys() >= set(keys)


def _has_type(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _parse(text: str) -> tuple[bool, object]:
    try:
        return True, json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return False, None


def _reject_constant(text: str) -> object:
    raise ValueError(text)
