import asyncio

import pytest

from tests.serve.http.serving import SmallServer
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.fields import Fields
from upbring.serve.http.generation import (
    ClientDisconnectedError,
    SamplingTask,
    generating,
    until_disconnect,
)
from upbring.serve.http.sampling_fields import read_sampling


def make_task(prompt: list[int], *, n: int = 1, max_tokens: int = 4) -> SamplingTask:
    fields = read_sampling(Fields({"n": n, "seed": 1}), vocab_size=320)
    return SamplingTask(prompt, fields, max_tokens, frozenset(), None)


def test_progress_of_all_tasks_and_samples_arrives(server: SmallServer) -> None:
    async def run() -> set[tuple[int, int]]:
        tasks = [make_task([5, 6], n=2), make_task([7, 8])]
        async with generating(server.served.engine, tasks) as progress:
            return {
                (each.task, each.progress.index)
                async for each in progress
                if each.progress.finish_reason == "length"
            }

    assert asyncio.run(run()) == {(0, 0), (0, 1), (1, 0)}


def test_leaving_the_block_cancels_what_is_unfinished(server: SmallServer) -> None:
    engine = server.served.engine
    before = engine.stats.cancelled

    async def run() -> None:
        async with generating(engine, [make_task([5, 6], max_tokens=200)]) as progress:
            await anext(progress)

    asyncio.run(run())
    assert engine.call(lambda: None).result(60) is None
    server.post("/v1/completions", prompt="x", max_tokens=1)
    assert engine.stats.cancelled == before + 1


def test_more_samples_than_the_queue_holds_are_rejected(server: SmallServer) -> None:
    async def run() -> None:
        tasks = [make_task([5], n=100)] * 3
        async with generating(server.served.engine, tasks):
            pass

    with pytest.raises(ApiError, match="queues at most 256"):
        asyncio.run(run())


def test_work_ends_when_the_client_leaves() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnectedError):
        asyncio.run(until_disconnect(receive, work()))
    assert ended == ["cancelled"]
