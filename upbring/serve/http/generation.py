"""Hands requests to the engine and its progress back to the event loop; cancels on disconnect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from upbring.serve.engine.engine import Engine, QueueFullError
from upbring.serve.engine.requests import Constraint, EngineRequest, SampleProgress
from upbring.serve.http.api_errors import BAD_REQUEST, INTERNAL, TOO_MANY, ApiError
from upbring.serve.http.sampling_fields import SamplingFields

if TYPE_CHECKING:
    from starlette.types import Receive

ResultT = TypeVar("ResultT")


class ClientDisconnectedError(Exception):
    """The client has gone: nobody reads the response."""


@dataclass(frozen=True, slots=True)
class SamplingTask:
    """One prompt to generate from."""

    prompt: Sequence[int]
    fields: SamplingFields
    max_tokens: int
    stop_token_ids: frozenset[int]
    adapter: str | None
    num_top: int | None = None
    num_prompt_top: int | None = None
    make_constraint: Callable[[], Constraint] | None = None


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """What is new in one sample of one task."""

    task: int
    request: EngineRequest
    progress: SampleProgress


@asynccontextmanager
async def generating(
    engine: Engine, tasks: Sequence[SamplingTask]
) -> AsyncIterator[AsyncIterator[TaskProgress]]:
    """Submit the tasks and give their progress; leaving the block cancels what is unfinished."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[TaskProgress] = asyncio.Queue()
    requests = [_make_request(task, index, queue, loop) for index, task in enumerate(tasks)]
    _submit(engine, requests)
    left = sum(len(request.keys) for request in requests)

    async def progress() -> AsyncIterator[TaskProgress]:
        nonlocal left
        while left:
            each = await queue.get()
            if each.progress.finish_reason == "error":
                raise ApiError(each.request.error, status=INTERNAL)
            left -= each.progress.finish_reason is not None
            yield each

    try:
        yield progress()
    finally:
        if left:
            for request in requests:
                engine.cancel(request)


def _make_request(
    task: SamplingTask,
    index: int,
    queue: "asyncio.Queue[TaskProgress]",
    loop: asyncio.AbstractEventLoop,
) -> EngineRequest:
    def deliver(reports: list[SampleProgress]) -> None:
        for each in reports:
            queue.put_nowait(TaskProgress(index, request, each))

    def on_progress(reports: list[SampleProgress]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, reports)

    fields = task.fields
    stops = frozenset() if fields.ignores_eos else task.stop_token_ids
    request = EngineRequest(
        prompt=task.prompt,
        keys=fields.keys(index),
        sampling=fields.sampling,
        max_tokens=task.max_tokens,
        on_progress=on_progress,
        stop_token_ids=stops | fields.stop_token_ids,
        stop=fields.stop,
        adapter=task.adapter,
        num_top=task.num_top,
        num_prompt_top=task.num_prompt_top,
        make_constraint=task.make_constraint,
    )
    return request


def _submit(engine: Engine, requests: Sequence[EngineRequest]) -> None:
    samples = sum(len(request.keys) for request in requests)
    if samples > engine.limits.max_queue:
        raise ApiError(
            f"the request asks for {samples} samples, and this server queues at most "
            f"{engine.limits.max_queue}; send several requests",
            status=BAD_REQUEST,
        )
    try:
        engine.submit_all(requests)
    except QueueFullError as error:
        raise ApiError(
            str(error), status=TOO_MANY, code="rate_limit_exceeded", retry_after=1
        ) from error


async def until_disconnect(receive: "Receive", work: Awaitable[ResultT]) -> ResultT:
    """Return the result of `work`; cancel it when the client disconnects."""

    async def wait_for_disconnect() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task: asyncio.Future[ResultT] = asyncio.ensure_future(work)
    watcher: asyncio.Task[Any] = asyncio.create_task(wait_for_disconnect())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnectedError
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
