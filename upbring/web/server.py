"""Serves a guarded application on a loopback port until Ctrl-C.

It prints nothing: the server's log is off, and the caller prints the address.
"""

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from upbring.errors import InputError
from upbring.web.guard import LOOPBACK, WebAddress, WebGuard, make_web_address
from upbring.web.slow_clients import BACKLOG, make_protocol

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp


def bind_socket(port: int) -> socket.socket:
    """Return a socket that listens on a loopback port; 0 selects a free port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()  # connections before the server starts wait instead of failing
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"--port: {port} is not available ({reason}); pass another port, or 0 for a free one"
        ) from error
    return listener


def make_server(
    app: "ASGIApp", listener: socket.socket, *, headers: Mapping[str, str] | None = None
) -> "tuple[uvicorn.Server, WebAddress]":
    """Return a server and its address; `server.run(sockets=[listener])` starts it."""
    import uvicorn  # noqa: PLC0415 -- only needed for serving

    address = make_web_address(listener.getsockname()[1])
    config = uvicorn.Config(
        WebGuard(app, address, headers=headers),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=1,
        http=make_protocol(),
        backlog=BACKLOG,
    )
    return uvicorn.Server(config), address


def serve(app: "ASGIApp", *, port: int, on_ready: Callable[[WebAddress], None]) -> None:
    """Serve until Ctrl-C; `on_ready` receives the address when connections are accepted."""
    with bind_socket(port) as listener:
        uvicorn_server, address = make_server(app, listener)
        on_ready(address)
        try:
            uvicorn_server.run(sockets=[listener])
        except KeyboardInterrupt:  # the normal exit; uvicorn raises it again after shutdown
            return
