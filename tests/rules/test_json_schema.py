"""JSON schemas: each keyword, and refusal of the others."""

import json
from typing import Any

import pytest

from upbring.rules.json_schema import find_schema_problem, follows_schema


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "integer"}, [1, 1.0, -3], [1.5, True, "1", None]),
        ({"type": ["string", "null"]}, ["a", None], [1, []]),
        ({"type": "boolean"}, [True], [1, 0]),
        ({"enum": [1, "a", None]}, [1, 1.0, "a", None], [True, "b"]),
        ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}, {"a": 1}]),
        ({"properties": {"a": {"type": "string"}}}, [{}, {"a": ""}, {"b": 1}, 3], [{"a": 1}]),
        ({"required": ["a"]}, [{"a": None}, []], [{}, {"b": 1}]),
        (
            {"properties": {"a": True}, "additionalProperties": False},
            [{}, {"a": 1}],
            [{"a": 1, "b": 2}],
        ),
        (
            {"patternProperties": {"^x": {"type": "number"}}, "additionalProperties": False},
            [{"x1": 1}],
            [{"x1": "a"}, {"y": 1}],
        ),
        ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 2}]),
        ({"items": {"type": "number"}}, [[], [1, 2.5], "x"], [[1, "a"]]),
        (
            {"prefixItems": [{"type": "string"}], "items": {"type": "number"}},
            [["a", 1], []],
            [[1], ["a", "b"]],
        ),
        ({"minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
        ({"uniqueItems": True}, [[1, "1", True]], [[1, 1.0]]),
        ({"minLength": 1, "maxLength": 2, "pattern": "b"}, ["b", "ab"], ["", "abc", "a"]),
        ({"minimum": 0, "exclusiveMaximum": 10}, [0, 9.9, "x"], [-1, 10]),
        ({"maximum": 1, "exclusiveMinimum": 0}, [1, 0.5], [0, 1.1]),
        ({"multipleOf": 0.1}, [0.3, 2], [0.35]),
        ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["a", 5], [1]),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [0, 3]),
        ({"oneOf": [{"minimum": 1}, {"maximum": 2}]}, [0, 3], [1, 2]),
        ({"not": {"type": "null"}, "title": "anything else"}, [0, ""], [None]),
        ({"properties": {"a": {"items": {"minimum": 1}}}}, [{"a": [1]}], [{"a": [0]}]),
    ],
)
def test_a_keyword_accepts_and_rejects(
    schema: dict[str, Any], valid: list[Any], invalid: list[Any]
) -> None:
    assert find_schema_problem(schema) is None
    assert [value for value in valid if not follows_schema(json.dumps(value), schema)] == []
    assert [value for value in invalid if follows_schema(json.dumps(value), schema)] == []


def test_text_that_is_not_json_follows_no_schema() -> None:
    assert not follows_schema("{", {})
    assert not follows_schema("NaN", {"type": "number"})
    assert not follows_schema("[" * 100_000, {})


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"$ref": "#/a"}, "keyword '$ref' is not supported"),
        ({"items": {"if": {}}}, "keyword 'if' is not supported"),
        ({"properties": {"a": {"type": "text"}}}, "type 'text' is unknown"),
        ({"anyOf": [{"pattern": "("}]}, "pattern '(' is not a regular expression"),
        ({"anyOf": {}}, "is not an object"),
        ("text", "is not an object"),
    ],
)
def test_a_schema_that_would_be_read_wrongly_is_refused(schema: object, problem: str) -> None:
    assert problem in str(find_schema_problem(schema))
