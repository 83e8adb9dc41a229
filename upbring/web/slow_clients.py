"""Limits for clients that open connections and send nothing, or too slowly.

Each connection costs a file descriptor. Without limits, a few hundred silent connections leave none
for the files of the program.
"""

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 64
BACKLOG = 16  # connections that are accepted at once
IDLE_SECONDS = 10.0  # without a complete request
MAX_REQUEST_SECONDS = 60.0  # until the response is read


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
            if len(self.connections) > max_connections:
                transport.abort()
                return
            self._watchdog = self.loop.call_later(idle_seconds, self._close_if_idle)

        def connection_lost(self, exc: Exception | None) -> None:
            """Forget the connection."""
            if self._watchdog is not None:
                self._watchdog.cancel()
            super().connection_lost(exc)

        def _close_if_idle(self) -> None:
            """Close the connection unless a request is being answered."""
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()
            else:
                self._watchdog = self.loop.call_later(max_request_seconds, self.transport.abort)

    return LimitedProtocol
