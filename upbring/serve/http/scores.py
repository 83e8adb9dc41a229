"""`/v1/score` and `/pooling`: rewards of responses from a reward model, in vLLM's formats."""

import asyncio
import time
import uuid
from collections.abc import Sequence

import torch
from starlette.requests import Request
from starlette.responses import JSONResponse

from upbring.data.chat.chat import Chat
from upbring.data.read.records import Message
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.model.heads import rewards
from upbring.model.packing import make_micro_batches
from upbring.model.roles import BASE
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.dialogues import plain_messages, read_messages
from upbring.serve.http.fields import Fields, read_fields
from upbring.serve.http.generation import until_disconnect
from upbring.serve.http.served_models import ServedModel, ServedModels, served_models

MAX_RESPONSES = 256
MAX_BATCH_TOKENS = 1024  # per call of the engine, which generates for others in between

PromptResponse = tuple[tuple[Message, ...], str]


async def score(request: Request) -> JSONResponse:
    """Score responses to a prompt, or pairs of both."""
    served, fields = served_models(request), read_fields(await request.body())
    model = served.find(fields.text("model"), is_reward=True)
    pairs = _read_pairs(fields)
    return await _answer(request, served, model, pairs, kind="score")


async def pooling(request: Request) -> JSONResponse:
    """Score the last message of dialogues, as vLLM's reward models do."""
    served, fields = served_models(request), read_fields(await request.body())
    model = served.find(fields.text("model"), is_reward=True)
    if not fields.has("messages"):
        raise fields.fail("messages", "a dialogue that ends with an assistant message")
    messages = plain_messages(read_messages(fields))
    if messages[-1].role != "assistant":
        raise fields.fail("messages", "a dialogue that ends with an assistant message")
    pairs = [(tuple(messages[:-1]), messages[-1].content)]
    return await _answer(request, served, model, pairs, kind="pooling")


async def _answer(
    request: Request,
    served: ServedModels,
    model: ServedModel,
    pairs: Sequence[PromptResponse],
    *,
    kind: str,
) -> JSONResponse:
    trees = await asyncio.to_thread(_encode, model.chat, pairs, served.engine.max_length)
    found = await until_disconnect(request.receive, _rewards(served, model, trees))
    data = [
        {"index": i, "object": kind, **({"score": r} if kind == "score" else {"data": [r]})}
        for i, r in enumerate(found)
    ]
    num_tokens = sum(tree.num_tokens for tree in trees)
    return JSONResponse(
        {
            "id": f"{kind}-{uuid.uuid4().hex}",
            "object": "list",
            "created": int(time.time()),
            "model": model.name,
            "data": data,
            "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        }
    )


def _read_pairs(fields: Fields) -> list[PromptResponse]:
    """Return prompts with responses: `messages` and `responses`, or texts as vLLM names them."""
    if fields.has("messages"):
        prompt = tuple(plain_messages(read_messages(fields)))
        return [(prompt, each) for each in _texts(fields, "responses")]
    names = ("text_1", "text_2") if fields.has("text_1") else ("queries", "documents")
    first, second = (_texts(fields, name) for name in names)
    if len(first) not in {1, len(second)}:
        raise fields.fail(names[1], f"as many texts as {names[0]}")
    prompts = first * len(second) if len(first) == 1 else first
    return [((Message("user", p),), r) for p, r in zip(prompts, second, strict=True)]


def _texts(fields: Fields, name: str) -> list[str]:
    value = fields.values.get(name)
    values = [value] if isinstance(value, str) else fields.array(name, most=MAX_RESPONSES)
    if not values or not all(isinstance(each, str) for each in values):
        raise fields.fail(name, f"a string, or an array of 1 to {MAX_RESPONSES} strings")
    return [str(each) for each in values]


def _encode(chat: Chat, pairs: Sequence[PromptResponse], max_length: int) -> list[Tree]:
    trees = []
    for index, (prompt, response) in enumerate(pairs):
        try:
            tree = chat.encode_comparison(prompt, [response], key=str(index))
        except InputError as error:
            raise ApiError(str(error)) from error
        if tree.longest_path > max_length:
            raise ApiError(
                f"response {index}: has {tree.longest_path} tokens with its prompt, and the "
                f"model's context length is {max_length}; shorten it",
                code="context_length_exceeded",
            )
        trees.append(tree)
    return trees


async def _rewards(served: ServedModels, model: ServedModel, trees: Sequence[Tree]) -> list[float]:
    """Return the reward of each tree's only branch, computed between steps of generation."""
    found: dict[int, float] = {}
    for batch in make_micro_batches(served.model, list(trees), MAX_BATCH_TOKENS):

        @torch.no_grad()
        def compute(batch=batch) -> list[float]:  # type: ignore[no-untyped-def]  # noqa: ANN001 -- binds the loop's value
            assert model.head is not None, "is a reward model"
            with served.roles.active(model.role or BASE):
                values: list[float] = rewards(served.model, model.head, batch).tolist()
            return values

        values = await asyncio.wrap_future(served.engine.call(compute))
        found.update(zip(map(int, batch.keys), values, strict=True))
    return [found[i] for i in range(len(trees))]
