"""Check a response against a JSON schema: the keywords that data formats use, of draft 2020-12.

`find_problem` refuses a schema with any other keyword, which would otherwise be ignored silently.
Left out: references ($ref), formats, conditions (if/then/else) and unevaluated properties.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any] | bool

ANNOTATIONS = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "examples", "format"}
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "number": _is_number,
    "integer": lambda v: _is_number(v) and float(v).is_integer(),  # type: ignore[arg-type]  # a number
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}


def follows_schema(text: str, schema: Schema) -> bool:
    """Return whether the whole text is JSON that is valid under the schema.

    >>> follows_schema('{"age": 3}', {"required": ["age"], "properties": {"age": {"minimum": 0}}})
    True
    >>> follows_schema("[1, 2]", {"type": "array", "items": {"type": "string"}})
    False
    """
    try:
        value = json.loads(text, parse_constant=_reject_constant)
        return is_valid(value, schema)
    except (ValueError, RecursionError):
        return False


def find_schema_problem(schema: object) -> str | None:
    """Return what is wrong with a schema, or None.

    >>> find_schema_problem({"properties": {"a": {"typ": "string"}}})
    "keyword 'typ' is not supported"
    """
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, Mapping):
        return "is not an object"
    problems = (_keyword_problem(keyword, value) for keyword, value in schema.items())
    return next(filter(None, problems), None)


def _keyword_problem(keyword: str, value: object) -> str | None:
    if keyword not in _CHECKS and keyword not in ANNOTATIONS:
        return f"keyword {keyword!r} is not supported"
    if keyword == "type" and any(kind not in _TYPES for kind in _as_list(value)):
        return f"type {value!r} is unknown"
    if keyword == "pattern" and (problem := _pattern_problem(value)):
        return problem
    return next(filter(None, map(find_schema_problem, _inner_schemas(keyword, value))), None)


def is_valid(value: object, schema: Schema) -> bool:
    """Return whether a value is valid under a schema without unknown keywords."""
    if isinstance(schema, bool):
        return schema
    return all(
        _CHECKS[keyword](value, given, schema)
        for keyword, given in schema.items()
        if keyword not in ANNOTATIONS
    )


def _inner_schemas(keyword: str, value: object) -> list[object]:
    if keyword in {"properties", "patternProperties"}:
        return [*value.values()] if isinstance(value, Mapping) else [None]
    if keyword in {"anyOf", "allOf", "oneOf", "prefixItems"}:
        return [*value] if isinstance(value, list) else [None]
    return [value] if keyword in {"items", "additionalProperties", "not"} else []


def _pattern_problem(value: object) -> str | None:
    try:
        re.compile(str(value))
    except re.error as error:
        return f"pattern {value!r} is not a regular expression ({error})"
    return None


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_equal(left: object, right: object) -> bool:
    """Whether two values are equal as JSON: 1 equals 1.0, but not true."""
    return _canonical(left) == _canonical(right)


def _canonical(value: object) -> object:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    return [_canonical(inner) for inner in value] if isinstance(value, list) else value


def _properties_are_valid(value: object, given: Mapping[str, Schema], _: object) -> bool:
    if not isinstance(value, dict):
        return True
    return all(is_valid(value[name], inner) for name, inner in given.items() if name in value)


def _others_are_valid(value: object, given: Schema, schema: Mapping[str, Any]) -> bool:
    named = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    return not isinstance(value, dict) or all(
        is_valid(inner, given)
        for name, inner in value.items()
        if name not in named and not any(re.search(p, name) for p in patterns)
    )


def _matching_are_valid(value: object, given: Mapping[str, Schema], _: object) -> bool:
    return not isinstance(value, dict) or all(
        is_valid(inner, schema)
        for pattern, schema in given.items()
        for name, inner in value.items()
        if re.search(pattern, name)
    )


def _items_are_valid(value: object, given: Schema, schema: Mapping[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    return all(is_valid(each, given) for each in value[len(schema.get("prefixItems", [])) :])


def _first_items_are_valid(value: object, given: list[Schema], _: object) -> bool:
    if not isinstance(value, list):
        return True
    return all(is_valid(each, schema) for each, schema in zip(value, given, strict=False))


def _are_unique(value: object, given: object, _: object) -> bool:
    if given is not True or not isinstance(value, list):
        return True
    return not any(_is_equal(a, b) for i, a in enumerate(value) for b in value[:i])


def _is_multiple(value: object, given: float, _: object) -> bool:
    if not _is_number(value):
        return True
    return math.isclose(float(value) / given, round(float(value) / given), abs_tol=1e-9)  # type: ignore[arg-type]  # a number


def _limit(
    applies: Callable[[object], bool], holds: Callable[[Any, Any], bool]
) -> Callable[[object, Any, Any], bool]:
    return lambda value, given, _: not applies(value) or holds(value, given)


_CHECKS: Mapping[str, Callable[[object, Any, Any], bool]] = {
    "type": lambda value, given, _: any(_TYPES[kind](value) for kind in _as_list(given)),
    "enum": lambda value, given, _: any(_is_equal(value, each) for each in given),
    "const": lambda value, given, _: _is_equal(value, given),
    "properties": _properties_are_valid,
    "patternProperties": _matching_are_valid,
    "additionalProperties": _others_are_valid,
    "required": _limit(_TYPES["object"], lambda v, names: all(name in v for name in names)),
    "minProperties": _limit(_TYPES["object"], lambda v, n: len(v) >= n),
    "maxProperties": _limit(_TYPES["object"], lambda v, n: len(v) <= n),
    "items": _items_are_valid,
    "prefixItems": _first_items_are_valid,
    "minItems": _limit(_TYPES["array"], lambda v, n: len(v) >= n),
    "maxItems": _limit(_TYPES["array"], lambda v, n: len(v) <= n),
    "uniqueItems": _are_unique,
    "minLength": _limit(_TYPES["string"], lambda v, n: len(v) >= n),
    "maxLength": _limit(_TYPES["string"], lambda v, n: len(v) <= n),
    "pattern": _limit(_TYPES["string"], lambda v, p: re.search(p, v) is not None),
    "minimum": _limit(_is_number, lambda v, n: v >= n),
    "maximum": _limit(_is_number, lambda v, n: v <= n),
    "exclusiveMinimum": _limit(_is_number, lambda v, n: v > n),
    "exclusiveMaximum": _limit(_is_number, lambda v, n: v < n),
    "multipleOf": _is_multiple,
    "anyOf": lambda value, given, _: any(is_valid(value, each) for each in given),
    "allOf": lambda value, given, _: all(is_valid(value, each) for each in given),
    "oneOf": lambda value, given, _: sum(is_valid(value, each) for each in given) == 1,
    "not": lambda value, given, _: not is_valid(value, given),
}


def _reject_constant(text: str) -> object:
    raise ValueError(text)
