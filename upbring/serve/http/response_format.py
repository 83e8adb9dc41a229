"""`response_format`: a response that is one of some choices, or JSON of a schema; required calls.

It is enforced while sampling: tokens that would leave the grammar are excluded. Needs llguidance
(`upbring[serve]`). A schema with a keyword that is not enforced is rejected.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial

from upbring.serve.engine.requests import Constraint
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.fields import Fields
from upbring.serve.http.grammars import GrammarConstraint, matcher_class
from upbring.serve.http.served_models import ServedModel, ServedModels
from upbring.serve.http.tools import ToolChoice

ENFORCED = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const"),
        *("anyOf", "minItems", "maxItems"),
    }
)
IGNORED = frozenset({"title", "description", "default", "examples", "$schema", "$comment", "$id"})
SCHEMA_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
MAX_CHOICES, MAX_CHOICE_CHARACTERS = 1000, 10_000
MAX_SCHEMA_CHARACTERS = 100_000


def read_response_format(
    fields: Fields, served: ServedModels, model: ServedModel, tools: ToolChoice
) -> Callable[[], Constraint] | None:
    """Return what makes the constraint of each response; None if there is none."""
    grammar = _grammar(fields)
    if grammar is not None and tools.definitions:
        raise ApiError("response_format: cannot be used with tools", param="response_format")
    if tools.forced:
        grammar = _call_grammar(tools.forced)
    if grammar is None:
        return None
    stops = model.chat.stop_token_ids
    constraint = partial(GrammarConstraint, served.grammar_tokenizer(stops), grammar, stops)
    constraint()  # raises if the grammar is not valid
    return constraint


def _grammar(fields: Fields) -> str | None:
    """Return the grammar that the fields ask for, in the notation of llguidance."""
    choices = fields.fields("structured_outputs")
    if choices.has("choice"):
        return _choice_grammar(choices)
    others = [name for name in choices.values if choices.has(name) and name != "json"]
    if others:
        raise ApiError(
            f"structured_outputs.{others[0][:40]}: is not supported; use choice or json",
            param="structured_outputs",
            code="unsupported_parameter",
        )
    if choices.has("json"):
        return _schema_grammar(choices.values["json"], "structured_outputs.json")
    wanted = fields.fields("response_format")
    kind = wanted.choice("type", "text", ("text", "json_object", "json_schema"))
    if kind == "json_object":
        return _schema_grammar({"type": "object"}, "response_format")
    if kind == "json_schema":
        inner = wanted.fields("json_schema")
        schema = inner.values.get("schema", wanted.values.get("schema"))
        return _schema_grammar(schema, "response_format.json_schema.schema")
    return None


def _call_grammar(functions: Sequence[dict[str, object]]) -> str:
    """Return the grammar of one call, as the JSON object that `ToolCallParser` reads."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": each["name"]}, "arguments": _arguments_schema(each)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for each in functions
    ]
    return _schema_grammar({"anyOf": calls}, "tools")


def _arguments_schema(function: dict[str, object]) -> object:
    """Return the schema of a function's arguments.

    If it has keywords that are not enforced, any object is allowed, unless the function is strict.
    """
    schema = function.get("parameters")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return {"type": "object"}
    try:
        check_schema(schema, f"tools.{function['name']}.parameters")
    except ApiError:
        if function.get("strict") is True:
            raise
        return {"type": "object"}
    return schema


def _choice_grammar(fields: Fields) -> str:
    values = fields.array("choice", most=MAX_CHOICES)
    is_text = all(
        isinstance(each, str) and 0 < len(each) <= MAX_CHOICE_CHARACTERS for each in values
    )
    if not values or not is_text:
        raise fields.fail("choice", "an array of strings that are not empty")
    alternatives = " | ".join(json.dumps(each) for each in values)
    return str(matcher_class().grammar_from_lark(f"start: {alternatives}"))


def _schema_grammar(schema: object, where: str) -> str:
    check_schema(schema, where)
    text = json.dumps(schema)
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise ApiError(f"{where}: has more than {MAX_SCHEMA_CHARACTERS} characters", param=where)
    # as json.dumps writes it: free whitespace lets a small model write nothing else
    options = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    return str(matcher_class().grammar_from_json_schema(text, defaults=options))


def check_schema(schema: object, where: str) -> None:
    """Raise if a schema has a keyword or a type that is not enforced."""
    if not isinstance(schema, dict):
        raise ApiError(f"{where}: is not an object; send a JSON schema", param=where)
    unknown = sorted(schema.keys() - ENFORCED - IGNORED)
    if unknown:
        raise ApiError(
            f"{where}: the keyword {unknown[0]!r:.60} is not enforced by this server; use "
            f"{', '.join(sorted(ENFORCED))}",
            param=where,
            code="unsupported_schema",
        )
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in SCHEMA_TYPES:
            raise ApiError(f"{where}.type: {kind!r:.40} is not a type of JSON schema", param=where)
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise ApiError(f"{where}.properties: is not an object", param=where)
    inner = [(f"properties.{name}", each) for name, each in properties.items()]
    inner += [(name, schema[name]) for name in ("items",) if name in schema]
    if not isinstance(schema.get("additionalProperties", True), bool):
        inner.append(("additionalProperties", schema["additionalProperties"]))
    any_of = schema.get("anyOf", [])
    if not isinstance(any_of, list):
        raise ApiError(f"{where}.anyOf: is not an array", param=where)
    inner += [(f"anyOf[{i}]", each) for i, each in enumerate(any_of)]
    for name, each in inner:
        check_schema(each, f"{where}.{name}")
