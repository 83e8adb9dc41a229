import pytest

from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.dialogues import plain_messages, read_messages
from upbring.serve.http.fields import Fields


def read(*messages: object) -> list[dict[str, object]]:
    return read_messages(Fields({"messages": list(messages)}))


def test_roles_and_parts_are_read() -> None:
    found = read(
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    )
    assert [(m.role, m.content) for m in plain_messages(found)] == [
        ("system", "Be kind."),
        ("user", "ab"),
    ]


def test_the_arguments_of_calls_are_parsed() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"x": 1}'}}
    (message,) = read({"role": "assistant", "content": None, "tool_calls": [call]})
    assert message["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    ]


@pytest.mark.parametrize(
    "message",
    [
        5,
        {},
        {"role": "user"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [5]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
        {"role": "assistant", "tool_calls": [{"function": {}}]},
    ],
)
def test_wrong_messages_are_rejected(message: object) -> None:
    with pytest.raises(ApiError):
        read(message)
