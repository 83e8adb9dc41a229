import json
from typing import Any

import pytest

from tests.conftest import trials
from tests.serve.http.serving import SmallServer
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.response_format import check_schema

pytest.importorskip("llguidance", reason="structured output needs upbring[serve]")

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]
HOME = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"enum": ["Ann", "Bob 🦉"]},
        "age": {"type": "integer"},
        "home": HOME,
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["name", "home", "tags"],
    "additionalProperties": False,
}


def require_person(value: Any) -> None:
    """Check a value against the schema, by hand."""
    assert value.keys() - {"age"} == {"name", "home", "tags"}
    assert value["name"] in {"Ann", "Bob 🦉"}
    assert isinstance(value.get("age", 0), int)
    assert value["home"].keys() == {"city"}
    assert isinstance(value["home"]["city"], str)
    assert len(value["tags"]) <= 3
    assert all(isinstance(tag, bool) for tag in value["tags"])


def test_a_finished_response_has_the_schema(server: SmallServer) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    quote = server.post("/tokenize", prompt='"', add_special_tokens=False)["tokens"][0]
    finished = 0
    for seed in range(trials(6, 60)):
        fields = {"seed": seed, "max_tokens": 150, "logit_bias": {str(quote): 5}}
        found = server.post(PATH, messages=HELLO, response_format=wanted, **fields)
        (choice,) = found["choices"]
        text = choice["message"]["content"]
        assert text.startswith('{"name": "')
        if choice["finish_reason"] == "stop":
            finished += 1
            require_person(json.loads(text))
    assert finished > 0


def test_a_response_is_one_of_the_choices(server: SmallServer) -> None:
    choices = ["yes", "no", 'say "maybe"\n']
    wanted = {"choice": choices}
    fields = {"n": 12, "seed": 1, "temperature": 1.5, "structured_outputs": wanted}
    found = server.post(PATH, messages=HELLO, **fields)["choices"]
    assert {choice["message"]["content"] for choice in found} <= set(choices)
    assert {choice["finish_reason"] for choice in found} == {"stop"}


def test_any_json_object_is_an_object(server: SmallServer) -> None:
    wanted = {"type": "json_object"}
    found = server.post(PATH, messages=HELLO, max_tokens=30, response_format=wanted)
    assert found["choices"][0]["message"]["content"].startswith("{")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "a+"},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}},
        {"type": "array", "items": {"oneOf": []}},
        {"type": "thing"},
        {"$ref": "https://example.com/schema"},
        "x",
        {"type": "object", "properties": [1]},
        {"anyOf": 3},
    ],
)
def test_a_keyword_that_is_not_enforced_is_rejected(server: SmallServer, schema: object) -> None:
    with pytest.raises(ApiError):
        check_schema(schema, "schema")
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    server.reject(PATH, messages=HELLO, response_format=wanted)


def test_other_formats_are_rejected(server: SmallServer) -> None:
    for fields in (
        {"response_format": {"type": "grammar"}},
        {"response_format": "json"},
        {"structured_outputs": {"regex": "a"}},
        {"structured_outputs": {"choice": [1]}},
        {"structured_outputs": {"choice": []}},
    ):
        server.reject(PATH, messages=HELLO, **fields)


def tool(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


CITY = {
    "type": "object",
    "properties": {"c": {"enum": ["A", "K"]}},
    "required": ["c"],
    "additionalProperties": False,
}
CITIES = [{"c": "A"}, {"c": "K"}]
TOOLS = [tool("w", parameters=CITY)]
PLAIN_TOOLS = [tool("go"), tool("stop")]


def call_of(found: Any) -> tuple[str, Any]:
    """Return name and arguments of the only call of a response."""
    (choice,) = found["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    return call["function"]["name"], json.loads(call["function"]["arguments"])


def test_a_required_call_is_one_of_the_tools(server: SmallServer) -> None:
    # without a bias towards its end, an object with any content seldom ends
    brace = server.post("/tokenize", prompt="}", add_special_tokens=False)["tokens"][0]
    given = {"tools": PLAIN_TOOLS, "tool_choice": "required", "max_tokens": 50}
    names = set()
    for seed in range(trials(8, 40)):
        found = server.post(PATH, messages=HELLO, logit_bias={str(brace): 20}, seed=seed, **given)
        name, arguments = call_of(found)
        names.add(name)
        assert isinstance(arguments, dict)
    assert names == {"go", "stop"}


def test_a_named_function_is_called(server: SmallServer) -> None:
    choice = {"type": "function", "function": {"name": "w"}}
    given = {"messages": HELLO, "tools": TOOLS, "tool_choice": choice, "max_tokens": 50}
    assert call_of(server.post(PATH, **given))[0] == "w"
    deltas = [each["choices"][0] for each in server.stream(PATH, **given)]
    (call,) = [d["delta"]["tool_calls"][0] for d in deltas if "tool_calls" in d["delta"]]
    assert call["function"]["name"] == "w"
    assert not any(each["delta"].get("content") for each in deltas)
    flat = {"type": "function", "name": "w"}
    tools = [{"type": "function", "name": "w", "parameters": CITY}]
    found = server.post("/v1/responses", input="x", tools=tools, tool_choice=flat)
    (item,) = found["output"]
    assert (item["type"], item["name"]) == ("function_call", "w")
    assert json.loads(item["arguments"]) in CITIES


def test_other_functions_than_the_named_one_are_not_called(server: SmallServer) -> None:
    brace = server.post("/tokenize", prompt="}", add_special_tokens=False)["tokens"][0]
    choice = {"type": "function", "function": {"name": "stop"}}
    given = {"tools": PLAIN_TOOLS, "tool_choice": choice, "n": 8, "max_tokens": 50}
    found = server.post(PATH, messages=HELLO, logit_bias={str(brace): 20}, seed=0, **given)
    for each in found["choices"]:
        assert call_of({"choices": [each]})[0] == "stop"


def test_a_call_that_cannot_be_required_is_rejected(server: SmallServer) -> None:
    strict = tool("t", strict=True, parameters={"type": "object", "minProperties": 1})
    for fields, param in (
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "any", "tools": TOOLS}, "tool_choice"),
        ({"tool_choice": {"type": "function"}, "tools": TOOLS}, "tool_choice.function"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "x"}}, "tools": TOOLS},
            "tool_choice.function",
        ),
        ({"tool_choice": {"type": "custom"}, "tools": TOOLS}, "tool_choice.type"),
        ({"tool_choice": "required", "tools": [strict]}, "tools.t.parameters"),
        (
            {"tool_choice": "auto", "tools": TOOLS, "response_format": {"type": "json_object"}},
            "response_format",
        ),
    ):
        assert server.reject(PATH, messages=HELLO, **fields)["param"] == param


def test_arguments_whose_schema_cannot_be_enforced_are_an_object(server: SmallServer) -> None:
    loose = tool("t", parameters={"type": "object", "minProperties": 1})
    brace = server.post("/tokenize", prompt="}", add_special_tokens=False)["tokens"][0]
    given = {"tool_choice": "required", "tools": [loose], "logit_bias": {str(brace): 20}}
    name, arguments = call_of(server.post(PATH, messages=HELLO, max_tokens=50, **given))
    assert name == "t"
    assert isinstance(arguments, dict)
