"""`POST /v1/responses`: text and function calls, without stored state.

The whole dialogue is in `input`; a `previous_response_id` is rejected, because nothing is stored.
Tools of other kinds than functions are left out, as their clients expect.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse

from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.chat_completions import ChatRequest, read_chat_request
from upbring.serve.http.dialogues import MAX_MESSAGES, MAX_TOOLS, read_content
from upbring.serve.http.event_stream import EventStream, format_event
from upbring.serve.http.fields import Fields, read_fields
from upbring.serve.http.generation import generating, until_disconnect
from upbring.serve.http.served_models import ServedModels, served_models
from upbring.serve.http.tools import ToolCallParser
from upbring.serve.http.usage import TokenUsage

UNSUPPORTED = ("previous_response_id", "conversation", "background", "prompt")
FORMATS = {"text": "text", "json_object": "json_object", "json_schema": "json_schema"}


@dataclass(slots=True, eq=False)
class ResponseBuilder:
    """A response while it is generated."""

    request: ChatRequest
    id: str = field(default_factory=lambda: f"resp_{uuid.uuid4().hex}")
    message_id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    text: str = ""
    calls: list[dict[str, object]] = field(default_factory=list)
    status: str = "in_progress"
    usage: TokenUsage = field(default_factory=TokenUsage)

    def add_calls(self, parser: ToolCallParser) -> None:
        """Take the parsed calls over as items."""
        for call in parser.calls:
            function = Fields(call).fields("function")
            self.calls.append(
                {
                    "type": "function_call",
                    "id": f"fc_{uuid.uuid4().hex}",
                    "call_id": call["id"],
                    "name": function.text("name"),
                    "arguments": function.text("arguments"),
                    "status": "completed",
                }
            )

    def message(self, *, status: str) -> dict[str, object]:
        """Return the item of the text."""
        content = [self.part()] if status == "completed" else []
        return {
            "type": "message",
            "id": self.message_id,
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def part(self) -> dict[str, object]:
        """Return the text as a part of its item."""
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}

    def output(self) -> list[dict[str, object]]:
        """Return all finished items."""
        has_text = bool(self.text) or not self.calls
        return [*([self.message(status="completed")] if has_text else []), *self.calls]

    def fields(self) -> dict[str, object]:
        """Return the response as JSON."""
        is_done = self.status != "in_progress"
        usage = {
            "input_tokens": self.usage.num_prompt,
            "input_tokens_details": {"cached_tokens": self.usage.num_cached},
            "output_tokens": self.usage.num_generated,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.usage.num_prompt + self.usage.num_generated,
        }
        is_cut = self.status == "incomplete"
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.request.created,
            "completed_at": int(time.time()) if is_done else None,
            "status": self.status,
            "model": self.request.model.name,
            "output": self.output() if is_done else [],
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": self.request.task.fields.sampling.temperature,
            "top_p": self.request.task.fields.sampling.top_p,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage if is_done else None,
        }


async def responses(request: Request) -> JSONResponse | EventStream:
    """Answer a dialogue."""
    served, fields = served_models(request), read_fields(await request.body())
    chat_request = await asyncio.to_thread(_read_request, served, fields)
    builder = ResponseBuilder(chat_request)
    if chat_request.is_stream:
        return EventStream(_events(builder))
    await until_disconnect(request.receive, _complete(builder))
    return JSONResponse(builder.fields())


def _read_request(served: ServedModels, fields: Fields) -> ChatRequest:
    """Return the same request in the fields of a chat completion."""
    for name in UNSUPPORTED:
        if fields.has(name) and fields.values[name] is not False:
            raise ApiError(
                f"{name}: is not supported, because this server stores no responses; send the "
                "whole dialogue in input",
                param=name,
                code="unsupported_parameter",
            )
    messages = _messages(fields)
    tools = [
        {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
        for tool in fields.array("tools", most=MAX_TOOLS)
        if isinstance(tool, dict) and tool.get("type") == "function"
    ]
    chosen = fields.fields("text").fields("format")
    kind = chosen.choice("type", "text", FORMATS)
    values: dict[str, object] = {
        "model": fields.values.get("model"),
        "messages": messages,
        "max_tokens": fields.values.get("max_output_tokens"),
        "response_format": {"type": kind, "schema": chosen.values.get("schema")},
        "tools": tools or None,
        "tool_choice": _tool_choice(fields),
    }
    for name in ("temperature", "top_p", "stream", "seed", "stop"):
        values[name] = fields.values.get(name)
    return read_chat_request(served, Fields(values))


def _tool_choice(fields: Fields) -> object:
    """Return the choice as chat completions have it: a function's name is nested there."""
    choice = fields.values.get("tool_choice")
    if isinstance(choice, dict) and "name" in choice:
        return {"type": choice.get("type"), "function": {"name": choice["name"]}}
    return choice


def _messages(fields: Fields) -> list[dict[str, object]]:
    """Return the messages of `instructions` and `input`; an empty input is an empty message."""
    instructions = fields.text("instructions")
    messages: list[dict[str, object]] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    given = fields.values.get("input")
    if given is None or isinstance(given, str):
        return [*messages, {"role": "user", "content": given or ""}]
    for index, value in enumerate(fields.array("input", most=MAX_MESSAGES)):
        item = Fields(value if isinstance(value, dict) else {}, f"input[{index}]")
        messages += _item_messages(item)
    if not any(message["role"] == "user" for message in messages):
        messages.append({"role": "user", "content": ""})
    return messages


def _item_messages(item: Fields) -> list[dict[str, object]]:
    """Return the messages of one item; kinds that have no text are left out."""
    match item.text("type", "message"):
        case "message":
            return [{"role": item.text("role", "user"), "content": read_content(item)}]
        case "function_call":
            function = {"name": item.text("name"), "arguments": item.text("arguments")}
            call = {"id": item.text("call_id"), "function": function}
            return [{"role": "assistant", "content": None, "tool_calls": [call]}]
        case "function_call_output":
            output = read_content(item, "output")
            return [{"role": "tool", "tool_call_id": item.text("call_id"), "content": output}]
        case _:
            return []


async def _complete(builder: ResponseBuilder) -> None:
    async for _ in _texts(builder):
        pass


async def _texts(builder: ResponseBuilder) -> AsyncGenerator[str, None]:
    """Generate the response; yield each new piece of text."""
    request = builder.request
    parser = ToolCallParser(request.tools)
    async with generating(request.served.engine, [request.task]) as progress:
        async for each in progress:
            builder.usage.add(each)
            text = parser.push(each.progress.text)
            reason = each.progress.finish_reason
            if reason is not None:
                text += parser.flush()
                builder.status = "incomplete" if reason == "length" else "completed"
            builder.text += text
            if text:
                yield text
    builder.add_calls(parser)


async def _events(builder: ResponseBuilder) -> AsyncGenerator[bytes, None]:
    """Yield the events of a streamed response, numbered."""
    number = -1

    def event(kind: str, **values: object) -> bytes:
        nonlocal number
        number += 1
        return format_event({"type": kind, "sequence_number": number, **values}, event=kind)

    where = {"item_id": builder.message_id, "output_index": 0, "content_index": 0}
    has_message = False
    created = event("response.created", response=builder.fields())
    async for text in _texts(builder):
        if not has_message:
            has_message = True
            yield created
            yield event("response.in_progress", response=builder.fields())
            item = builder.message(status="in_progress")
            yield event("response.output_item.added", output_index=0, item=item)
            yield event("response.content_part.added", **where, part={**builder.part(), "text": ""})
        yield event("response.output_text.delta", **where, delta=text, logprobs=[])
    if not has_message:
        yield created
        yield event("response.in_progress", response=builder.fields())
    else:
        yield event("response.output_text.done", **where, text=builder.text, logprobs=[])
        yield event("response.content_part.done", **where, part=builder.part())
    for index, item in enumerate(builder.output()):
        if item["type"] != "message":
            yield event("response.output_item.added", output_index=index, item=item)
            arguments = {"arguments": item["arguments"], "name": item["name"]}
            at = {"item_id": item["id"], "output_index": index}
            yield event("response.function_call_arguments.done", **at, **arguments)
        elif not has_message:
            yield event("response.output_item.added", output_index=index, item=item)
        yield event("response.output_item.done", output_index=index, item=item)
    is_cut = builder.status == "incomplete"
    yield event(
        "response.incomplete" if is_cut else "response.completed", response=builder.fields()
    )
