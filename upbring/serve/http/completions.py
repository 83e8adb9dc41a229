"""`POST /v1/completions`: continues texts or token ids, with `echo` and `logprobs`.

lm-evaluation-harness scores with it: the prompt's own log-probabilities and one more token.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse

from upbring.errors import InputError
from upbring.serve.engine.requests import TokenLogprob
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.event_stream import DONE, EventStream, format_event
from upbring.serve.http.fields import Fields, read_fields
from upbring.serve.http.generation import SamplingTask, TaskProgress, generating, until_disconnect
from upbring.serve.http.response_format import read_response_format
from upbring.serve.http.sampling_fields import MAX_TOP, read_sampling, read_token_ids
from upbring.serve.http.served_models import ServedModel, ServedModels, served_models
from upbring.serve.http.tools import ToolChoice
from upbring.serve.http.usage import TokenUsage, room_for_response

MAX_PROMPTS, MAX_PROMPT_TOKENS = 1024, 10_000_000
DEFAULT_MAX_TOKENS = 16  # OpenAI's


@dataclass(frozen=True, eq=False)
class CompletionRequest:
    """A request that was read, and how its response looks."""

    served: ServedModels
    model: ServedModel
    tasks: list[SamplingTask]
    echo_texts: list[str] | None
    num_shown: int | None  # generated tokens that are shown; None: all
    is_stream: bool
    includes_usage: bool
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass(slots=True)
class Choice:
    """One response while it is collected."""

    text: str = ""
    tokens: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str | None = None


async def completions(request: Request) -> JSONResponse | EventStream:
    """Continue prompts."""
    served = served_models(request)
    fields = read_fields(await request.body())
    completion_request = await asyncio.to_thread(read_completion_request, served, fields)
    if completion_request.is_stream:
        return EventStream(_events(completion_request))
    return JSONResponse(await until_disconnect(request.receive, _complete(completion_request)))


def read_completion_request(served: ServedModels, fields: Fields) -> CompletionRequest:
    """Return what a request's fields ask for."""
    model = served.find(fields.text("model"))
    prompts = read_prompts(fields, served, model)
    sampling = read_sampling(fields, vocab_size=served.model.vocab_size)
    num_top = _num_top(fields)
    is_echo = fields.boolean("echo", default=False)
    is_stream = fields.boolean("stream", default=False)
    if is_echo and is_stream:
        raise ApiError("echo: is not supported with stream: true; leave one out", param="echo")
    tasks = []
    shown = None
    for prompt in prompts:
        asked = room_for_response(
            fields, "max_tokens", served.engine.max_length, prompt, default=DEFAULT_MAX_TOKENS
        )
        if asked == 0:
            shown = 0
            if not is_echo:
                raise ApiError("max_tokens: is 0; use 1 or more, or echo: true", param="max_tokens")
        tasks.append(
            SamplingTask(
                prompt,
                sampling,
                max(asked, 1),
                frozenset(model.chat.stop_token_ids),
                model.role,
                num_top,
                num_top if is_echo else None,
                read_response_format(fields, served, model, ToolChoice()),
            )
        )
    decode = model.chat.tokenizer.decode
    echo_texts = [decode(p, with_special_tokens=True) for p in prompts] if is_echo else None
    return CompletionRequest(
        served,
        model,
        tasks,
        echo_texts,
        shown,
        is_stream,
        fields.fields("stream_options").boolean("include_usage", default=False),
    )


def read_prompts(
    fields: Fields, served: ServedModels, model: ServedModel, name: str = "prompt"
) -> list[list[int]]:
    """Return the tokens of each prompt: one text or token list, or several of either."""
    value = fields.values.get(name)
    vocab_size = served.model.vocab_size
    if isinstance(value, str):
        return [encode_text(model, value, name)]
    if not isinstance(value, list) or not value or len(value) > MAX_PROMPT_TOKENS:
        raise fields.fail(name, "a string, token ids, or an array of them")
    if isinstance(value[0], int):
        return [read_token_ids(fields, name, value, vocab_size)]
    if len(value) > MAX_PROMPTS:
        raise ApiError(f"{name}: has more than {MAX_PROMPTS} prompts", param=name)
    prompts = []
    for each in value:
        if isinstance(each, str):
            prompts.append(encode_text(model, each, name))
        elif isinstance(each, list):
            prompts.append(read_token_ids(fields, name, each, vocab_size))
        else:
            raise fields.fail(name, "a string, token ids, or an array of them")
    return prompts


def encode_text(
    model: ServedModel, text: str, name: str, *, add_special_tokens: bool = True
) -> list[int]:
    """Return a text's tokens, after BOS if the tokenizer adds it."""
    tokenizer = model.chat.tokenizer
    has_bos = add_special_tokens and tokenizer.adds_bos and tokenizer.bos_token_id is not None
    prefix = [tokenizer.bos_token_id] if has_bos and tokenizer.bos_token_id is not None else []
    try:
        return prefix + tokenizer.encode(text)
    except InputError as error:
        raise ApiError(f"{name}: {error}", param=name) from error


def _num_top(fields: Fields) -> int | None:
    """Return the number of likeliest tokens; `true` is 1, and `false` is none."""
    value = fields.values.get("logprobs")
    if value is None or value is False:
        return None
    return 1 if value is True else fields.integer("logprobs", 0, low=0, high=MAX_TOP)


async def _complete(request: CompletionRequest) -> dict[str, object]:
    """Return the whole response."""
    n, usage = request.tasks[0].fields.n, TokenUsage()
    choices = [Choice() for _ in range(len(request.tasks) * n)]
    prompt_logprobs: dict[int, list[TokenLogprob]] = {}
    async with generating(request.served.engine, request.tasks) as progress:
        async for each in progress:
            usage.add(each)
            choice = choices[each.task * n + each.progress.index]
            choice.text += each.progress.text
            choice.tokens += each.progress.tokens
            choice.finish_reason = each.progress.finish_reason
            prompt_logprobs[each.task] = each.request.prompt_logprobs
    found = []
    for index, choice in enumerate(choices):
        task = index // n
        if request.num_shown == 0:
            choice.text, choice.tokens, choice.finish_reason = "", [], "length"
        prefix = "" if request.echo_texts is None else request.echo_texts[task]
        before = prompt_logprobs[task] if request.echo_texts is not None else []
        found.append(
            {
                "index": index,
                "text": prefix + choice.text,
                "logprobs": _logprobs(request, [*before, *choice.tokens], start=0),
                "finish_reason": choice.finish_reason,
            }
        )
    return {**_head(request), "choices": found, "usage": usage.fields()}


async def _events(request: CompletionRequest) -> AsyncGenerator[bytes, None]:
    """Yield the events of a streamed response."""
    n, usage = request.tasks[0].fields.n, TokenUsage()
    offsets: dict[int, int] = {}
    async with generating(request.served.engine, request.tasks) as progress:
        async for each in progress:
            usage.add(each)
            yield _chunk(request, each, n, offsets)
    if request.includes_usage:
        yield format_event({**_head(request), "choices": [], "usage": usage.fields()})
    yield format_event(DONE)


def _chunk(
    request: CompletionRequest, each: TaskProgress, n: int, offsets: dict[int, int]
) -> bytes:
    sample = each.progress
    index = each.task * n + sample.index
    start = offsets.get(index, 0)
    offsets[index] = start + len(sample.text)
    choice = {
        "index": index,
        "text": sample.text,
        "logprobs": _logprobs(request, sample.tokens, start=start),
        "finish_reason": sample.finish_reason,
    }
    usage = {"usage": None} if request.includes_usage else {}
    return format_event({**_head(request), "choices": [choice], **usage})


def _head(request: CompletionRequest) -> dict[str, object]:
    return {
        "id": request.id,
        "object": "text_completion",
        "created": request.created,
        "model": request.model.name,
        "system_fingerprint": request.served.fingerprint,
    }


def _logprobs(
    request: CompletionRequest, tokens: Sequence[TokenLogprob], *, start: int
) -> dict[str, object] | None:
    """Return log-probabilities in the format of completions; None unless they were asked for."""
    num_top = request.tasks[0].num_top
    if num_top is None:
        return None
    texts = request.served.texts
    top: list[dict[str, float] | None] = []
    for each in tokens:
        entries: dict[str, float] = {}
        for token, logprob in each.top:  # likeliest first: of two tokens with one text, it stays
            entries.setdefault(texts.token_text(token), logprob)
        if each.logprob is not None:
            entries.setdefault(texts.token_text(each.token), each.logprob)
        top.append(entries if each.logprob is not None else None)
    ids = [each.token for each in tokens]
    return {
        "tokens": [texts.token_text(token) for token in ids],
        "token_logprobs": [each.logprob for each in tokens],
        "top_logprobs": top if num_top else None,
        "text_offset": texts.offsets(ids, start=start),
    }
