import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.event_stream import EventStream, format_event


async def _run(events: AsyncGenerator[bytes, None]) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await EventStream(events)({"type": "http", "method": "POST"}, receive, send)
    return sent


async def _fail_after(count: int, error: Exception) -> AsyncGenerator[bytes, None]:
    for number in range(count):
        yield format_event({"n": number})
    raise error


def test_an_error_before_the_first_event_has_its_own_status() -> None:
    sent = asyncio.run(_run(_fail_after(0, ApiError("no", status=404))))
    assert sent[0]["status"] == 404
    assert b"no" in sent[1]["body"]


def test_a_later_error_is_an_event() -> None:
    sent = asyncio.run(_run(_fail_after(2, ApiError("no"))))
    assert sent[0]["status"] == 200
    assert b'"error"' in sent[-2]["body"]
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


def test_an_unexpected_error_shows_nothing_of_the_inside() -> None:
    with pytest.raises(ValueError, match="secret"):
        asyncio.run(_run(_fail_after(1, ValueError("secret"))))


def test_an_event_is_one_line_of_json() -> None:
    assert format_event({"a": "x\ny"}, event="e") == b'event: e\ndata: {"a":"x\\ny"}\n\n'
