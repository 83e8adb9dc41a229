"""Tools: their definitions for the chat template, and the calls in a model's text.

Two notations of calls are read: `<tool_call>{"name": …, "arguments": {…}}</tool_call>` (Hermes,
Qwen, SmolLM), and a response that is one JSON object with a name (Llama 3). Text that looks like a
call and is none stays text.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.dialogues import MAX_TOOLS, TemplateMessage
from upbring.serve.http.fields import Fields

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The tools of a request, as the template gets them.

    With `tool_choice: required`, or a named function, `forced` are the functions of which the
    response calls one.
    """

    definitions: tuple[dict[str, object], ...] = ()
    names: frozenset[str] = frozenset()
    forced: tuple[dict[str, object], ...] = ()


def read_tools(fields: Fields, messages: Sequence[TemplateMessage]) -> ToolChoice:
    """Return the tools that the model may call."""
    del messages
    definitions: list[dict[str, object]] = []
    names = set()
    for index, value in enumerate(fields.array("tools", most=MAX_TOOLS)):
        where = f"tools[{index}]"
        tool = Fields(value if isinstance(value, dict) else {}, where)
        if tool.choice("type", "function", ("function",)) != "function":
            raise tool.fail("type", "function")
        function = tool.fields("function")
        if not function.text("name"):
            raise function.fail("name", "the name of a function")
        function.fields("parameters")
        definitions.append({"type": "function", "function": dict(function.values)})
        names.add(function.text("name"))
    if fields.values.get("tool_choice") == "none":
        return ToolChoice()
    forced = _forced_functions(fields, [each["function"] for each in definitions])
    return ToolChoice(tuple(definitions), frozenset(names), forced)


def _forced_functions(fields: Fields, functions: Sequence[object]) -> tuple[dict[str, object], ...]:
    """Return the functions of which the response must call one; none if it need not."""
    choice = fields.values.get("tool_choice")
    known = [each for each in functions if isinstance(each, dict)]
    if choice in (None, "auto"):
        return ()
    if choice == "required":
        if not known:
            raise ApiError("tool_choice: required needs tools", param="tool_choice")
        return tuple(known)
    if not isinstance(choice, dict):
        raise fields.fail("tool_choice", "none, auto, required or the name of a function")
    named = fields.fields("tool_choice")
    named.choice("type", "function", ("function",))
    name = named.fields("function").text("name")
    found = tuple(each for each in known if each["name"] == name)
    if not found:
        raise named.fail("function", "the name of one of the tools")
    return found[:1]


@dataclass(slots=True)
class ToolCallParser:
    """Separates the calls of one response from its text, piece by piece."""

    tools: ToolChoice
    calls: list[dict[str, object]] = field(default_factory=list)
    _held: str = ""

    def push(self, text: str) -> str:
        """Return what is certainly no part of a call."""
        if not self.tools.names:
            return text
        self._held += text
        if not self.calls and self._held.lstrip().startswith("{"):
            return ""  # perhaps one JSON object, which only its end shows
        shown = ""
        while OPEN in self._held:
            before, _, rest = self._held.partition(OPEN)
            inner, close, after = rest.partition(CLOSE)
            if not close:
                self._held = self._held[len(before) :]
                return shown + before
            shown += before + ("" if self._add_call(inner) else f"{OPEN}{inner}{CLOSE}")
            self._held = after
        partial = next((n for n in range(len(OPEN) - 1, 0, -1) if self._held.endswith(OPEN[:n])), 0)
        cut = len(self._held) - partial
        shown, self._held = shown + self._held[:cut], self._held[cut:]
        return shown

    def flush(self) -> str:
        """Return the rest of the text, at its end."""
        held, self._held = self._held, ""
        inner = held.partition(OPEN)[2] if OPEN in held else held
        if held and self.tools.names and self._add_call(inner):
            return ""
        return held

    def _add_call(self, text: str) -> bool:
        """Add a call if the text is one."""
        try:
            call = json.loads(text)
        except (ValueError, RecursionError):
            return False
        if not isinstance(call, dict) or call.get("name") not in self.tools.names:
            return False
        arguments = call.get("arguments", call.get("parameters", {}))
        self.calls.append(
            {
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {
                    "name": call["name"],
                    "arguments": arguments
                    if isinstance(arguments, str)
                    else json.dumps(arguments, ensure_ascii=False),
                },
            }
        )
        return True
