"""Parse and validate field values: texts and the turns of a dialogue, for all row formats.

Text is kept unchanged, including white space. The one exception: in HH-RLHF text the single space
after `Human:` and `Assistant:` is part of the marker and is removed.
"""

import re
from collections.abc import Mapping

from upbring.data.read.records import Message, Role
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields, parse_json
from upbring.errors import format_value, nearest

ROLE_NAMES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
_HH_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_HH_ROLES: Mapping[str, Role] = {"Human": "user", "Assistant": "assistant"}
_NEXT_ROLES: Mapping[str, tuple[Role, ...]] = {
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


def require_text(value: object, field: str) -> str:
    """Return the value if it is non-blank text that can be encoded as UTF-8."""
    if not isinstance(value, str):
        raise RowError(field, f"is {_describe_value(value)}", "write it as text in quotes")
    if not value or value.isspace():
        raise RowError(field, "is empty" if not value else "is blank", "fill it or delete the row")
    return check_characters(value, field)


def check_characters(value: str, field: str) -> str:
    """Return the text, which may be blank, if it has no NUL and no lone surrogate."""
    if "\0" in value:
        found = f"contains a NUL character at position {value.index(chr(0)) + 1}"
        raise RowError(field, found, "delete it")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            code = ord(value[error.start])
            found = f"contains a lone surrogate (U+{code:04X}) at position {error.start + 1}"
            todo = "write the full character or delete it"
            raise RowError(field, found, todo) from error
    return value


def optional_text(fields: Fields, field: str) -> str:
    """Return the text of a field, or '' if it is absent, null or blank."""
    value = fields.get(field)
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise RowError(field, f"is {_describe_value(value)}", "write it as text in quotes")
    return "" if value.isspace() else check_characters(value, field)


def require_list(value: object, field: str) -> list[object]:
    """Return the value if it is a non-empty list; a table cell may contain the list as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(value)
        except RowError as error:
            raise RowError(field, f"contains a list, but {error}", "fix it") from error
    if not isinstance(value, list):
        raise RowError(field, f"is {_describe_value(value)}", "write it as a list: [ … ]")
    if not value:
        raise RowError(field, "is an empty list", "fill it or delete the row")
    return value


def parse_messages(value: object, field: str) -> tuple[Message, ...]:
    """Return the turns of a list of {role, content} or {from, value}, in unchecked order."""
    items = require_list(value, field)
    return tuple(parse_message(turn, f"{field}[{k}]") for k, turn in enumerate(items))


def parse_message(value: object, field: str) -> Message:
    """Return one turn from {role, content} or {from, value}."""
    if not isinstance(value, dict):
        todo = 'write it as {"role": "user", "content": "…"}'
        raise RowError(field, f"is {_describe_value(value)}", todo)
    role_key, text_key = ("from", "value") if "from" in value else ("role", "content")
    role = _parse_role(value.get(role_key), f"{field}.{role_key}")
    if value.get("tool_calls") or value.get("function_call"):
        name = "tool_calls" if value.get("tool_calls") else "function_call"
        todo = "write the call as the text of the turn, or delete the row"
        raise RowError(f"{field}.{name}", "contains tool calls, which are not supported", todo)
    if value.get("weight") in (0, 0.0) and value.get("weight") is not None:
        todo = "delete it, and choose the trained turns with the setting turns"
        raise RowError(
            f"{field}.weight", "is 0, but weights of single turns are not supported", todo
        )
    return Message(role, _parse_content(value.get(text_key), f"{field}.{text_key}"))


def parse_hh_dialogue(text: str, field: str) -> tuple[Message, ...]:
    r"""Return the turns of an HH-RLHF text; the last one may be empty.

    >>> [m.content for m in parse_hh_dialogue("\n\nHuman: Hi\n\nAssistant: Hello ", "chosen")]
    ['Hi', 'Hello ']
    """
    preamble, *rest = _HH_SPEAKER.split(text)
    if preamble or not rest:
        todo = r"begin it with \n\nHuman: (HH-RLHF format)"
        raise RowError(field, f"begins with {format_value(text, limit=30)}", todo)
    contents = [check_characters(content.removeprefix(" "), field) for content in rest[1::2]]
    return tuple(
        Message(_HH_ROLES[name], content) for name, content in zip(rest[::2], contents, strict=True)
    )


def is_hh_dialogue(value: object) -> bool:
    """Return whether a value is a dialogue in HH-RLHF text."""
    return isinstance(value, str) and value.startswith(("\n\nHuman:", "\n\nAssistant:"))


def check_turn_order(messages: tuple[Message, ...], field: str) -> tuple[Message, ...]:
    """Return the messages if their roles alternate correctly and no turn is empty.

    The order is an optional system turn, then user and assistant in turn, with tool turns after an
    assistant turn.
    """
    previous_role = ""
    for number, turn in enumerate(messages, 1):
        allowed = _NEXT_ROLES[previous_role]
        if turn.role not in allowed:
            where = f"after {previous_role}" if previous_role else "at the start"
            found = f"turn {number} has role {turn.role}, but {where} only {' or '.join(allowed)}"
            todo = "merge, delete or reorder the turns"
            raise RowError(field, f"{found} is allowed", todo)
        if not turn.content or turn.content.isspace():
            raise RowError(field, f"turn {number} ({turn.role}) is empty", "fill it or delete it")
        previous_role = turn.role
    return messages


def _parse_role(value: object, field: str) -> Role:
    if not isinstance(value, str):
        todo = "use system, user, assistant or tool"
        raise RowError(field, f"is {_describe_value(value)}", todo)
    role = ROLE_NAMES.get(value) or ROLE_NAMES.get(value.casefold())
    if role is None:
        suggestion = nearest(value, ROLE_NAMES)
        hint = f" (did you mean {suggestion}?)" if suggestion else ""
        todo = "use system, user, assistant or tool"
        raise RowError(field, f"{format_value(value)} is unknown{hint}", todo)
    return role


def _parse_content(value: object, field: str) -> str:
    if isinstance(value, list):
        return require_text(
            "".join(_parse_part(part, f"{field}[{k}]") for k, part in enumerate(value)), field
        )
    return require_text(value, field)


def _parse_part(part: object, field: str) -> str:
    if isinstance(part, dict) and part.get("type", "text") == "text":
        text = part.get("text")
        if isinstance(text, str):
            return text
    kind = part.get("type") if isinstance(part, dict) else part
    todo = 'only {"type": "text", "text": "…"} is supported'
    raise RowError(field, f"is a content part of type {format_value(kind)}", todo)


def _describe_value(value: object) -> str:
    """Return a description of a value for an error message."""
    if value is None:
        return "missing or null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {format_value(value)}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return (
        f"the text {format_value(value, limit=30)}"
        if isinstance(value, str)
        else format_value(value)
    )
