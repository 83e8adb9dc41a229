import json
from typing import Any

import pytest

from tests.serve.http.serving import SmallServer

PATH = "/v1/responses"
# The fields of a request of an agent client.
AGENT = {
    "client_metadata": {"a": "b"},
    "include": ["reasoning.encrypted_content"],
    "instructions": "Act.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
    ],
    "model": "small",
    "parallel_tool_calls": True,
    "prompt_cache_key": "k",
    "reasoning": {"effort": "low"},
    "store": False,
    "tool_choice": "auto",
    "tools": [
        {"type": "function", "name": "shell", "parameters": {}},
        {"type": "web_search"},
    ],
    "max_output_tokens": 8,
    "temperature": 0,
}


def stream(server: SmallServer, **fields: Any) -> list[dict[str, Any]]:
    status, text = server.ask(PATH, {**fields, "stream": True})
    assert status == 200, text
    found = []
    for each in text.strip().split("\n\n"):
        name, data = each.split("\n", 1)
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def test_an_agents_request_is_answered(server: SmallServer) -> None:
    found = server.post(PATH, **AGENT)
    assert (found["object"], found["status"]) == ("response", "incomplete")
    assert found["incomplete_details"] == {"reason": "max_output_tokens"}
    (item,) = found["output"]
    assert item["content"][0]["type"] == "output_text"
    assert found["usage"]["output_tokens"] == 8


def test_a_stream_has_the_events_of_the_whole_response(server: SmallServer) -> None:
    whole = server.post(PATH, **AGENT)
    events = stream(server, **AGENT)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:4] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
    ]
    assert kinds[-4:] == [
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "incomplete",
    ]
    text = "".join(event["delta"] for event in events if event["type"].endswith("text.delta"))
    assert text == whole["output"][0]["content"][0]["text"]
    assert events[-1]["response"]["output"][0]["content"] == whole["output"][0]["content"]


def test_a_text_is_one_message_and_an_empty_input_is_answered(server: SmallServer) -> None:
    text = server.post(PATH, input="hello", max_output_tokens=3, temperature=0)
    messages = [{"role": "user", "content": "hello"}]
    chat = server.post("/v1/chat/completions", messages=messages, max_tokens=3, temperature=0)
    assert text["output"][0]["content"][0]["text"] == chat["choices"][0]["message"]["content"]
    for empty in ("", [], None):
        assert server.post(PATH, input=empty, max_output_tokens=1)["object"] == "response"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "message", "role": "bot", "content": "x"}]}, "messages[0].role"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_wrong_fields_are_named(server: SmallServer, fields: dict[str, Any], param: str) -> None:
    assert server.reject(PATH, **{"input": "x", **fields})["param"] == param


def test_the_official_client_reads_the_stream(server: SmallServer) -> None:
    openai = pytest.importorskip("openai", reason="the client is a development dependency")
    client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
    with client.responses.stream(model="small", input="hello", max_output_tokens=4) as events:
        text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    found = client.responses.create(
        model="small", input="hello", max_output_tokens=4, temperature=0
    )
    assert found.output_text
    assert isinstance(text, str)
