"""Reads the messages of a request, and encodes them with the model's chat template."""

import json
from collections.abc import Sequence

from upbring.data.chat.chat import Chat
from upbring.data.chat.tool_dialogue import encode_tool_dialogue
from upbring.data.read.records import Message, Role
from upbring.errors import InputError
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.fields import Fields

MAX_MESSAGES, MAX_PARTS, MAX_TOOLS = 2048, 256, 128
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",  # OpenAI's newer name
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})

TemplateMessage = dict[str, object]  # as a chat template reads it


def read_messages(fields: Fields, name: str = "messages") -> list[TemplateMessage]:
    """Return the messages of a dialogue; one without a message is an error."""
    values = fields.array(name, most=MAX_MESSAGES)
    if not values:
        raise ApiError(f"{fields.name(name)}: is empty; send at least one message", param=name)
    return [_read_message(value, f"{fields.name(name)}[{i}]") for i, value in enumerate(values)]


def _read_message(value: object, where: str) -> TemplateMessage:
    if not isinstance(value, dict):
        raise ApiError(f"{where}: is not an object; send role and content", param=where)
    fields = Fields(value, where)
    role = ROLES[fields.choice("role", "", ROLES) or _no_role(fields)]
    message: TemplateMessage = {"role": role, "content": read_content(fields)}
    if calls := fields.array("tool_calls", most=MAX_TOOLS):
        message["tool_calls"] = [_read_call(each, f"{where}.tool_calls") for each in calls]
    elif not fields.has("content") and role != "assistant":
        raise fields.fail("content", "a string, or an array of text parts")
    for name in ("tool_call_id", "name"):
        if fields.has(name):
            message[name] = fields.text(name)
    return message


def _no_role(fields: Fields) -> str:
    raise fields.fail("role", " or ".join(ROLES))


def read_content(fields: Fields, name: str = "content") -> str:
    """Return a message's text: a string, or the text parts of an array together."""
    value = fields.values.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    texts = []
    for part in fields.array(name, most=MAX_PARTS):
        if isinstance(part, str):
            texts.append(part)
            continue
        inner = Fields(part if isinstance(part, dict) else {}, fields.name(name))
        kind = inner.values.get("type", "text")
        if not isinstance(part, dict) or kind not in TEXT_PARTS:
            raise ApiError(
                f"{fields.name(name)}: has a part of type {kind!r:.40}; only text is supported",
                param=fields.name(name),
            )
        texts.append(inner.text("text") or inner.text("refusal"))
    return "".join(texts)


def _read_call(value: object, where: str) -> dict[str, object]:
    """Return a tool call with its arguments parsed, as templates expect."""
    call = Fields(value if isinstance(value, dict) else {}, where)
    function = call.fields("function")
    arguments: object = function.values.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise function.fail("arguments", "a JSON object") from error
    name = function.text("name")
    if not name:
        raise function.fail("name", "the name of a function")
    return {
        "id": call.text("id"),
        "type": "function",
        "function": {"name": name, "arguments": arguments or {}},
    }


def encode_dialogue(
    chat: Chat, messages: Sequence[TemplateMessage], tools: Sequence[dict[str, object]] = ()
) -> list[int]:
    """Return the prompt tokens after which the model answers."""
    if tools and "tools" not in chat.template:
        raise ApiError("tools: this model's chat template has no place for tools", param="tools")
    try:
        if not tools and all(message.keys() <= {"role", "content", "name"} for message in messages):
            return chat.encode_prompt(plain_messages(messages))
        return encode_tool_dialogue(chat, messages, tools)
    except InputError as error:
        raise ApiError(f"messages: {error}", param="messages") from error


def plain_messages(messages: Sequence[TemplateMessage]) -> list[Message]:
    """Return messages without tools as records."""
    return [Message(ROLES[str(each["role"])], str(each["content"])) for each in messages]
