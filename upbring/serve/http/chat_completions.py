"""`POST /v1/chat/completions`."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse

from upbring.serve.engine.requests import SampleProgress, TokenLogprob
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.dialogues import encode_dialogue, read_messages
from upbring.serve.http.event_stream import DONE, EventStream, format_event
from upbring.serve.http.fields import Fields, read_fields
from upbring.serve.http.generation import SamplingTask, generating, until_disconnect
from upbring.serve.http.response_format import read_response_format
from upbring.serve.http.sampling_fields import MAX_TOP, read_sampling
from upbring.serve.http.served_models import ServedModel, ServedModels, served_models
from upbring.serve.http.token_texts import TokenTexts
from upbring.serve.http.tools import ToolCallParser, ToolChoice, read_tools
from upbring.serve.http.usage import TokenUsage, room_for_response

EventResponse = JSONResponse | EventStream


@dataclass(frozen=True, eq=False)
class ChatRequest:
    """A request that was read, and how its response looks."""

    served: ServedModels
    model: ServedModel
    task: SamplingTask
    tools: ToolChoice
    is_stream: bool
    includes_usage: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))


async def chat_completions(request: Request) -> EventResponse:
    """Answer a dialogue."""
    served = served_models(request)
    fields = read_fields(await request.body())
    chat_request = await asyncio.to_thread(read_chat_request, served, fields)
    if chat_request.is_stream:
        return EventStream(_events(chat_request))
    return JSONResponse(await until_disconnect(request.receive, complete(chat_request)))


def read_chat_request(served: ServedModels, fields: Fields) -> ChatRequest:
    """Return what a request's fields ask for."""
    model = served.find(fields.text("model"))
    messages = read_messages(fields)
    tools = read_tools(fields, messages)
    sampling = read_sampling(fields, vocab_size=served.model.vocab_size)
    num_top = fields.integer("top_logprobs", 0, low=0, high=MAX_TOP)
    has_logprobs = fields.boolean("logprobs", default=False)
    if num_top and not has_logprobs:
        raise ApiError("top_logprobs: needs logprobs: true", param="top_logprobs")
    prompt = encode_dialogue(model.chat, messages, tools.definitions)
    name = "max_completion_tokens" if fields.has("max_completion_tokens") else "max_tokens"
    return ChatRequest(
        served,
        model,
        SamplingTask(
            prompt,
            sampling,
            room_for_response(fields, name, served.engine.max_length, prompt),
            frozenset(model.chat.stop_token_ids),
            model.role,
            num_top if has_logprobs else None,
            make_constraint=read_response_format(fields, served, model, tools),
        ),
        tools,
        is_stream=fields.boolean("stream", default=False),
        includes_usage=fields.fields("stream_options").boolean("include_usage", default=False),
    )


async def complete(request: ChatRequest) -> dict[str, object]:
    """Return the whole response."""
    n, usage = request.task.fields.n, TokenUsage()
    texts: list[list[str]] = [[] for _ in range(n)]
    tokens: list[list[TokenLogprob]] = [[] for _ in range(n)]
    reasons: list[str] = [""] * n
    async with generating(request.served.engine, [request.task]) as progress:
        async for each in progress:
            usage.add(each)
            sample = each.progress
            texts[sample.index].append(sample.text)
            tokens[sample.index] += sample.tokens
            reasons[sample.index] = sample.finish_reason or ""
    choices = []
    for index in range(n):
        parser = ToolCallParser(request.tools)
        content = parser.push("".join(texts[index])) + parser.flush()
        message: dict[str, object] = {"role": "assistant", "content": content, "refusal": None}
        if parser.calls:
            message |= {"content": content or None, "tool_calls": parser.calls}
        choices.append(
            {
                "index": index,
                "message": message,
                "logprobs": _logprobs(request, tokens[index]),
                "finish_reason": "tool_calls" if parser.calls else reasons[index],
            }
        )
    return {**_head(request, "chat.completion"), "choices": choices, "usage": usage.fields()}


async def _events(request: ChatRequest) -> AsyncGenerator[bytes, None]:
    """Yield the events of a streamed response."""
    n, usage = request.task.fields.n, TokenUsage()
    parsers = [ToolCallParser(request.tools) for _ in range(n)]
    async with generating(request.served.engine, [request.task]) as progress:
        for index in range(n):
            yield _chunk(request, index, {"role": "assistant", "content": "", "refusal": None})
        async for each in progress:
            usage.add(each)
            for event in _sample_events(request, parsers[each.progress.index], each.progress):
                yield event
    if request.includes_usage:
        head = _head(request, "chat.completion.chunk")
        yield format_event({**head, "choices": [], "usage": usage.fields()})
    yield format_event(DONE)


def _sample_events(
    request: ChatRequest, parser: ToolCallParser, sample: SampleProgress
) -> list[bytes]:
    """Return the events of what is new in one sample."""
    events = []
    num_calls = len(parser.calls)
    text = parser.push(sample.text)
    if sample.finish_reason is not None:
        text += parser.flush()
    logprobs = _logprobs(request, sample.tokens)
    if text or logprobs is not None:
        events.append(_chunk(request, sample.index, {"content": text}, logprobs=logprobs))
    for number, call in enumerate(parser.calls[num_calls:], num_calls):
        delta: dict[str, object] = {"tool_calls": [{"index": number, **call}]}
        events.append(_chunk(request, sample.index, delta))
    if sample.finish_reason is not None:
        reason = "tool_calls" if parser.calls else sample.finish_reason
        events.append(_chunk(request, sample.index, {}, finish_reason=reason))
    return events


def _chunk(
    request: ChatRequest,
    index: int,
    delta: dict[str, object],
    *,
    logprobs: object = None,
    finish_reason: str | None = None,
) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    head = _head(request, "chat.completion.chunk")
    usage = {"usage": None} if request.includes_usage else {}
    return format_event({**head, "choices": [choice], **usage})


def _head(request: ChatRequest, kind: str) -> dict[str, object]:
    return {
        "id": request.id,
        "object": kind,
        "created": request.created,
        "model": request.model.name,
        "system_fingerprint": request.served.fingerprint,
    }


def _logprobs(request: ChatRequest, tokens: Sequence[TokenLogprob]) -> dict[str, object] | None:
    """Return the log-probabilities of the tokens that are in the text."""
    if request.task.num_top is None:
        return None
    stops = request.task.stop_token_ids
    shown = [each for each in tokens if each.token not in stops]
    texts = request.served.texts
    content = [
        {
            **_token(texts, each.token, each.logprob),
            "top_logprobs": [_token(texts, token, logprob) for token, logprob in each.top],
        }
        for each in shown
    ]
    return {"content": content, "refusal": None}


def _token(texts: TokenTexts, token: int, logprob: float | None) -> dict[str, object]:
    data = texts.token_bytes(token)
    text = data.decode(errors="replace")
    return {"token": text, "logprob": logprob, "bytes": list(data)}
