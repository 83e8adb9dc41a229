"""Silent connections neither exhaust the descriptors nor stay open."""

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

from starlette.applications import Starlette

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
