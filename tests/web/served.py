"""A real server in a thread, spoken to over a socket as a browser or an attacker would."""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upbring.web.guard import LOOPBACK, WebAddress
from upbring.web.server import bind_socket, make_server


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Served:
    door: WebAddress

    def ask(self, path: str = "/", *, method: str = "GET", **headers: str) -> Reply:
        """Send one request; `Host` is the right one unless given."""
        connection = http.client.HTTPConnection(LOOPBACK, self.door.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.putrequest(method, path, skip_host=True)
            for name, value in {"Host": f"{LOOPBACK}:{self.door.port}", **named}.items():
                connection.putheader(name, value)
            connection.endheaders()
            found = connection.getresponse()
            text = found.read().decode()
            return Reply(found.status, {k.lower(): v for k, v in found.getheaders()}, text)
        finally:
            connection.close()

    @property
    def cookie(self) -> str:
        return f"{self.door.cookie_name}={self.door.token}"


@contextlib.contextmanager
def serving(app: Any) -> Iterator[Served]:
    """Serve an application until the block ends."""
    with bind_socket(0) as place:
        made, door = make_server(app, place)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not made.started and time.monotonic() < deadline:
                threading.Event().wait(0.005)
            yield Served(door)
        finally:
            made.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive()
