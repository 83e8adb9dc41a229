"""Limits for clients that open connections and send nothing, or too slowly.

Each connection costs a file descriptor. Without limits, a few hundred silent connections leave none
for the files of the program.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 64
BACKLOG = 16  # connections that are accepted at once
IDLE_SECONDS = 10.0  # without a complete request
MAX_REQUEST_SECONDS = 60.0  # until the response is read


@dataclass(slots=True)
class ConnectionClock:
    """Since when a connection has had its request, or has waited for one."""

    idle_seconds: float
    max_request_seconds: float
    since: float
    cycle: Any = None  # uvicorn's state of a request; None before the first one

    def note(self, cycle: Any, now: float) -> None:  # noqa: ANN401 -- as above
        """Start again if this is another request."""
        if cycle is not self.cycle:
            self.cycle, self.since = cycle, now

    def seconds_left(self, now: float) -> float:
        """Return how long the connection may go on as it is."""
        is_waiting = self.cycle is None or self.cycle.response_complete
        return self.since + (self.idle_seconds if is_waiting else self.max_request_seconds) - now


def make_protocol(
    *,
    idle_seconds: float = IDLE_SECONDS,
    max_connections: int = MAX_CONNECTIONS,
    max_request_seconds: float = MAX_REQUEST_SECONDS,
) -> "type[H11Protocol]":
    """Return uvicorn's HTTP protocol with these limits."""
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415 -- only for serving

    class LimitedProtocol(H11Protocol):
        """Closes connections beyond the limits."""

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401 -- as in the base class
            """Accept a connection, or close it at once if there are too many."""
            super().connection_made(transport)
            self._watchdog: asyncio.TimerHandle | None = None
            now = self.loop.time()
            self._clock = ConnectionClock(idle_seconds, max_request_seconds, now)
            if len(self.connections) > max_connections:
                transport.abort()
                return
            self._watchdog = self.loop.call_later(idle_seconds, self._check)

        def connection_lost(self, exc: Exception | None) -> None:
            """Forget the connection."""
            if self._watchdog is not None:
                self._watchdog.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Read on; a request may begin."""
            super().data_received(data)
            self._clock.note(self.cycle, self.loop.time())

        def on_response_complete(self) -> None:
            """Wait for the next request, which may have arrived already."""
            self._clock.since = self.loop.time()
            super().on_response_complete()
            self._clock.note(self.cycle, self.loop.time())

        def _check(self) -> None:
            """Close the connection if its request, or waiting for one, takes too long."""
            left = self._clock.seconds_left(self.loop.time())
            if left <= 0:
                self.transport.abort()
            else:
                self._watchdog = self.loop.call_later(min(left, idle_seconds), self._check)

    return LimitedProtocol
