"""A guarded application on a port of this machine alone, until Ctrl-C.

Nothing here touches the terminal: the server's own log is off, and its address is for the caller
to print.
"""

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from upbring.errors import InputError
from upbring.web.guard import LOOPBACK, Door, Guard, make_door

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp


def bound(port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine; 0 takes one that is free."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.bind((LOOPBACK, port))
        made.listen()  # who knocks before the server is up waits, and is not turned away
    except OSError as error:
        made.close()
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"--port: {port} cannot be had ({reason}); give another, or 0 for one that is free"
        ) from error
    return made


def server(
    app: "ASGIApp", place: socket.socket, *, headers: Mapping[str, str] | None = None
) -> "tuple[uvicorn.Server, Door]":
    """Return a server of an application, and its door; `run(sockets=[place])` starts it."""
    import uvicorn  # noqa: PLC0415 -- only where something is served

    door = make_door(place.getsockname()[1])
    settings = uvicorn.Config(
        Guard(app, door, headers=headers),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(settings), door


def serve(app: "ASGIApp", *, port: int, tell: Callable[[Door], None]) -> None:
    """Serve until Ctrl-C; `tell` is given the door once it is open to knock at."""
    with bound(port) as place:
        made, door = server(app, place)
        tell(door)
        try:
            made.run(sockets=[place])
        except KeyboardInterrupt:  # how one leaves a page; the server has closed before it says so
            return
