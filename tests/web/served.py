"""A real server in a thread, with raw HTTP requests like those of a browser or an attacker."""

import contextlib
import http.client
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upbring.web.guard import LOOPBACK, WebAddress
from upbring.web.server import ServerOptions, bind_socket, make_server


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Served:
    address: WebAddress

    def ask(
        self, path: str = "/", *, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Reply:
        """Send one request; `Host` is the server's unless given."""
        connection = http.client.HTTPConnection(LOOPBACK, self.address.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.putrequest(method, path, skip_host=True)
            for name, value in {"Host": f"{LOOPBACK}:{self.address.port}", **named}.items():
                connection.putheader(name, value)
            is_chunked = "Transfer-Encoding" in named
            if body is not None and not is_chunked:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body, encode_chunked=is_chunked)
            response = connection.getresponse()
            text = response.read().decode()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
        finally:
            connection.close()

    @property
    def cookie(self) -> str:
        return f"{self.address.cookie_name}={self.address.token}"


@contextlib.contextmanager
def serving(app: Any, *, options: ServerOptions | None = None) -> Iterator[Served]:
    """Serve an application until the block ends."""
    with bind_socket(0) as listener:
        server, address = make_server(app, listener, options=options)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started and time.monotonic() < deadline:
                threading.Event().wait(0.005)
            yield Served(address)
        finally:
            server.should_exit = True
            thread.join(timeout=60)  # other tests may hold the processor meanwhile
            assert not thread.is_alive(), _where(thread)


def _where(thread: threading.Thread) -> str:
    """Return where a thread is."""
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame))
