"""Limits of size and rate for requests that passed the guard.

A body that is too large gets 413 before it is read; too many requests of one identity get 429 with
`Retry-After`. Excluded: connections that send nothing (`slow_clients`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from upbring.web.guard import IDENTITY_KEY

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_IDENTITIES = 1000  # whose rates are remembered


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """`per_second` requests of one identity on average, and at most `burst` at once."""

    max_body_bytes: int = 10 * 2**20
    per_second: float = 50.0
    burst: int = 200
    clock: Callable[[], float] = time.monotonic


class LimitRequests:
    """ASGI middleware that enforces `RequestLimits`."""

    def __init__(self, app: "ASGIApp", limits: RequestLimits) -> None:
        self._app, self._limits = app, limits
        self._buckets: dict[str, tuple[float, float]] = {}  # identity → (tokens, time)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request within the limits to the application, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not self._take_token(str(scope.get(IDENTITY_KEY, ""))):
            response = PlainTextResponse(
                "too many requests; wait a second", 429, {"Retry-After": "1"}
            )
            await response(scope, receive, send)
            return
        await self._with_size_limit(scope, receive, send)

    def _take_token(self, identity: str) -> bool:
        """Whether the identity may send a request now (a token bucket)."""
        now = self._limits.clock()
        tokens, then = self._buckets.pop(identity, (float(self._limits.burst), now))
        tokens = min(self._limits.burst, tokens + (now - then) * self._limits.per_second)
        allowed = tokens >= 1
        self._buckets[identity] = (tokens - allowed, now)
        if len(self._buckets) > MAX_IDENTITIES:
            del self._buckets[next(iter(self._buckets))]
        return allowed

    async def _with_size_limit(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        limit = self._limits.max_body_bytes
        text = f"the body is larger than {limit} bytes; send less"
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isascii() or not declared.isdecimal() or int(declared) > limit:
            await PlainTextResponse(text, 413)(scope, receive, send)
            return
        size = 0

        async def receive_limited() -> "Message":
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:  # a body in chunks has no declared length
                raise HTTPException(413, text)
            return message

        await self._app(scope, receive_limited, send)
