"""Serves a guarded application until Ctrl-C, on a loopback port unless told otherwise.

It prints nothing: the server's log is off, and the caller prints the address.
"""

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from upbring.errors import InputError
from upbring.web.guard import (
    LOOPBACK,
    LOOPBACK_HOSTS,
    GuardOptions,
    WebAddress,
    WebGuard,
    make_web_address,
)
from upbring.web.request_limits import LimitRequests, RequestLimits
from upbring.web.slow_clients import (
    BACKLOG,
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    MAX_REQUEST_SECONDS,
    make_protocol,
)

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp


ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 -- only if the user asks for it


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What an application changes in the server: host, guard and limits."""

    host: str = LOOPBACK
    guard: GuardOptions = field(default_factory=GuardOptions)
    limits: RequestLimits = field(default_factory=RequestLimits)
    max_connections: int = MAX_CONNECTIONS
    idle_seconds: float = IDLE_SECONDS
    max_request_seconds: float = MAX_REQUEST_SECONDS


def bind_socket(port: int, *, host: str = LOOPBACK) -> socket.socket:
    """Return a socket that listens on a port of the host; 0 selects a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"--host: {host}: this machine has no IPv6; pass {LOOPBACK}") from error
    try:
        if family == socket.AF_INET6:  # the same on every system: an address of IPv6 is only that
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if (
            port and sys.platform != "win32"
        ):  # else a restarted server waits until the system has forgotten old connections
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # connections before the server starts wait instead of failing
    except socket.gaierror as error:
        listener.close()
        raise InputError(
            f"--host: {host} is no address of this machine; pass a name or address of it"
        ) from error
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        where = str(port) if host == LOOPBACK else f"{host}:{port}"
        raise InputError(
            f"--port: {where} is not available ({reason}); pass another port, or 0 for a free one"
        ) from error
    return listener


def make_server(
    app: "ASGIApp", listener: socket.socket, *, options: ServerOptions | None = None
) -> "tuple[uvicorn.Server, WebAddress]":
    """Return a server and its address; `server.run(sockets=[listener])` starts it."""
    import uvicorn  # noqa: PLC0415 -- only needed for serving

    options = options or ServerOptions()
    names = host_names(options.host)
    address = make_web_address(listener.getsockname()[1], names=names)
    limited = LimitRequests(app, options.limits)
    config = uvicorn.Config(
        WebGuard(limited, address, options.guard),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=1,
        http=make_protocol(
            idle_seconds=options.idle_seconds,
            max_connections=options.max_connections,
            max_request_seconds=options.max_request_seconds,
        ),
        backlog=BACKLOG,
    )
    return uvicorn.Server(config), address


def serve(
    app: "ASGIApp",
    *,
    port: int,
    on_ready: Callable[[WebAddress], None],
    options: ServerOptions | None = None,
) -> None:
    """Serve until Ctrl-C; `on_ready` receives the address when connections are accepted."""
    host = LOOPBACK if options is None else options.host
    with bind_socket(port, host=host) as listener:
        uvicorn_server, address = make_server(app, listener, options=options)
        on_ready(address)
        try:
            uvicorn_server.run(sockets=[listener])
        except KeyboardInterrupt:  # the normal exit; uvicorn raises it again after shutdown
            return


def host_names(host: str) -> tuple[str, ...]:
    """Return the names by which a server on this host is reached, the printed one first."""
    is_ipv6 = ":" in host
    local = ("[::1]" if is_ipv6 else LOOPBACK, "localhost")
    if host in LOOPBACK_HOSTS:
        return local
    if host not in ALL_ADDRESSES:
        return (f"[{host.lower()}]" if is_ipv6 else host.lower(),)
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    addresses = [
        f"[{each.address.partition('%')[0]}]" if is_ipv6 else each.address
        for interface in psutil.net_if_addrs().values()
        for each in interface
        if each.family == family and each.address not in LOOPBACK_HOSTS
    ]
    return (socket.gethostname().lower(), *addresses, *local)
