"""Silent connections neither exhaust the descriptors nor stay open."""

import asyncio
import contextlib
import http.client
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from tests.web.served import serving
from upbring.web.guard import LOOPBACK
from upbring.web.server import ServerOptions

PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
from starlette.applications import Starlette
from upbring.web.server import serve
serve(Starlette(), port=0, on_ready=lambda address: print(address.port, flush=True))
"""


def connect(port: int) -> socket.socket:
    client = socket.create_connection((LOOPBACK, port), timeout=10)
    client.sendall(b"GET / HTTP/1.1\r\n")
    return client


def test_hundreds_of_silent_connections_leave_room_and_the_log_empty(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True)
    with contextlib.ExitStack() as clients:
        clients.callback(process.wait)
        clients.callback(process.terminate)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        process.stdout.close()
        for _ in range(300):
            clients.enter_context(connect(port))
        deadline = time.monotonic() + 60
        reply = b""
        while not reply and time.monotonic() < deadline:  # until the silent ones are closed
            with contextlib.suppress(OSError), connect(port) as client:
                client.sendall(f"Host: {LOOPBACK}:{port}\r\n\r\n".encode())
                reply = client.recv(100)
        assert reply.startswith(b"HTTP/1.1 401")
    assert (tmp_path / "err").read_text() == ""


def test_a_header_that_never_ends_is_cut_off() -> None:
    options = ServerOptions(idle_seconds=0.2)
    with serving(Starlette(), options=options) as served, connect(served.address.port) as client:
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        assert served.ask(Cookie=served.cookie).status == 404  # others are still answered


def test_a_connection_with_one_request_after_another_stays_open() -> None:
    options = ServerOptions(idle_seconds=0.4, max_request_seconds=0.8)
    with serving(Starlette(), options=options) as served:
        client = http.client.HTTPConnection(LOOPBACK, served.address.port, timeout=10)
        client.connect()
        opened = client.sock
        deadline = time.monotonic() + 1.6  # longer than both limits
        while time.monotonic() < deadline:
            client.request("GET", "/", headers={"Cookie": served.cookie})
            client.getresponse().read()
            time.sleep(0.02)
            assert client.sock is opened
        client.close()


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer no request."""
    del scope, receive, send
    await asyncio.sleep(60)


def test_a_request_that_takes_too_long_is_cut_off_also_as_the_second_one() -> None:
    async def first_only(scope: Scope, receive: Receive, send: Send) -> None:
        answer = PlainTextResponse("first") if scope["path"] == "/first" else never
        await answer(scope, receive, send)

    options = ServerOptions(idle_seconds=0.2, max_request_seconds=0.5)
    with serving(Starlette(routes=[Mount("/", first_only)]), options=options) as served:
        client = http.client.HTTPConnection(LOOPBACK, served.address.port, timeout=10)
        headers = {"Cookie": served.cookie}
        client.request("GET", "/first", headers=headers)
        assert client.getresponse().read() == b"first"
        began = time.monotonic()
        client.request("GET", "/second", headers=headers)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            client.getresponse()
        assert time.monotonic() - began >= 0.5
        client.close()
