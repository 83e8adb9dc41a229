"""A guarded application on a port of this machine alone, until Ctrl-C.

Nothing here touches the terminal: the server's own log is off, and its address is for the caller
to print.
"""

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from upbring.errors import InputError
from upbring.web.guard import LOOPBACK, WebAddress, WebGuard, make_web_address

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp


def bind_socket(port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine; 0 takes one that is free."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()  # who knocks before the server is up waits, and is not turned away
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"--port: {port} cannot be had ({reason}); give another, or 0 for one that is free"
        ) from error
    return listener


def make_server(
    app: "ASGIApp", listener: socket.socket, *, headers: Mapping[str, str] | None = None
) -> "tuple[uvicorn.Server, WebAddress]":
    """Return a server of an application, and its door; `run(sockets=[place])` starts it."""
    import uvicorn  # noqa: PLC0415 -- only where something is served

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
    )
    return uvicorn.Server(config), address


def serve(app: "ASGIApp", *, port: int, on_ready: Callable[[WebAddress], None]) -> None:
    """Serve until Ctrl-C; `on_ready` is given the door once it is open to knock at."""
    with bind_socket(port) as listener:
        uvicorn_server, address = make_server(app, listener)
        on_ready(address)
        try:
            uvicorn_server.run(sockets=[listener])
        except KeyboardInterrupt:  # how one leaves a page; the server has closed before it says so
            return
