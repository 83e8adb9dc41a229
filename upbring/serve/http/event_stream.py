"""Server-sent events: a response that is written piece by piece."""

import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from upbring.serve.http.api_errors import INTERNAL, ApiError
from upbring.serve.http.generation import ClientDisconnectedError, until_disconnect

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

DONE = "[DONE]"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # proxies must not wait for more
]


def format_event(data: object, *, event: str | None = None) -> bytes:
    r"""Return one event.

    >>> format_event({"a": 1}), format_event("[DONE]")
    (b'data: {"a":1}\n\n', b'data: [DONE]\n\n')
    """
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {text}\n\n".encode()


class EventStream:
    """An ASGI response that sends events until they end or the client disconnects.

    The first event is awaited before the status is sent, so that an error that occurs until then
    has its own status.
    """

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self._events = events

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Send the response."""
        try:
            await until_disconnect(receive, self._send(scope, receive, send))
        except ClientDisconnectedError:
            return

    async def _send(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        try:
            first = await anext(self._events, b"")
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        try:
            async for event in self._events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except ApiError as error:
            body = format_event(error.body())
            await send({"type": "http.response.body", "body": body, "more_body": True})
        except Exception:
            body = format_event(ApiError("the server failed", status=INTERNAL).body())
            await send({"type": "http.response.body", "body": body, "more_body": True})
            raise
        finally:
            await self._events.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
