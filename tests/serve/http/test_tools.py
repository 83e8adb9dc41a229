import json

import pytest

from tests.serve.http.serving import SmallServer
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.dialogues import encode_dialogue
from upbring.serve.http.tools import ToolCallParser, ToolChoice

TOOL: dict[str, object] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'


def parse(text: str, size: int) -> tuple[str, list[tuple[str, object]]]:
    """Return text and calls, when a text arrives in pieces of a size."""
    parser = ToolCallParser(ToolChoice((TOOL,), frozenset({"weather"})))
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    shown = "".join(map(parser.push, pieces)) + parser.flush()
    calls = []
    for call in parser.calls:
        function = call["function"]
        assert isinstance(function, dict)
        calls.append((function["name"], json.loads(function["arguments"])))
    return shown, calls


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "shown", "num_calls"),
    [
        (CALL, "", 1),
        (f"Let me see. {CALL}{CALL}", "Let me see. ", 2),
        (CALL.removesuffix("</tool_call>"), "", 1),
        ('{"name": "weather", "parameters": {"city": "Köln"}}', "", 1),
        ('{"name": "other"}', '{"name": "other"}', 0),
        ("<tool_call>no json</tool_call>", "<tool_call>no json</tool_call>", 0),
        ("a < b <tool", "a < b <tool", 0),
        ("plain", "plain", 0),
    ],
)
def test_calls_are_separated_from_text(text: str, shown: str, num_calls: int, size: int) -> None:
    found, calls = parse(text, size)
    assert found == shown
    assert calls == [("weather", {"city": "Köln"})] * num_calls


def test_without_tools_text_stays_as_it_is() -> None:
    parser = ToolCallParser(ToolChoice())
    assert parser.push(CALL) + parser.flush() == CALL


def test_the_template_gets_tools_calls_and_results(server: SmallServer) -> None:
    arguments = {"city": "Köln <|endoftext|>"}
    call = {"id": "c1", "function": {"name": "weather", "arguments": json.dumps(arguments)}}
    messages = [
        {"role": "user", "content": "rain?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]
    tokens = server.post("/tokenize", messages=messages, tools=[TOOL])["tokens"]
    text = server.post("/detokenize", tokens=tokens)["prompt"]
    assert '"name": "weather"' in text
    assert "Köln" in text
    assert tokens.count(0) == 1  # the end of the assistant's turn; the one in the call is text
    assert text.endswith("### assistant\n")
    short = [{"role": "user", "content": "rain?"}]
    found = server.post("/v1/chat/completions", messages=short, tools=[TOOL], max_tokens=3)
    assert found["choices"][0]["finish_reason"] in {"length", "stop"}


def test_wrong_tools_are_rejected(server: SmallServer) -> None:
    messages = [{"role": "user", "content": "x"}]
    for tools in ([{"type": "function"}], [5], "x", [{"type": "retrieval"}]):
        server.reject("/v1/chat/completions", messages=messages, tools=tools)


def test_a_template_without_tools_rejects_them(server: SmallServer) -> None:
    chat = server.served.by_name["judge"].chat
    with pytest.raises(ApiError, match="template has no place for tools"):
        encode_dialogue(chat, [{"role": "user", "content": "x"}], [TOOL])
