import socket

import pytest
from starlette.applications import Starlette

from tests.web.served import serving
from upbring.errors import InputError
from upbring.web.guard import LOOPBACK
from upbring.web.server import bind_socket


def test_the_socket_is_bound_to_loopback() -> None:
    with bind_socket(0) as listener:
        assert listener.getsockname()[0] == LOOPBACK


def test_a_port_in_use_is_an_input_error() -> None:
    with bind_socket(0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"^--port: {port} is not available \(.+\); pass another"
        ):
            bind_socket(port)


def test_the_server_stops_and_releases_the_port() -> None:
    with serving(Starlette()) as served:
        assert served.ask(Cookie=served.cookie).status == 404
        port = served.address.port
    with socket.socket() as client:
        client.settimeout(5)
        assert client.connect_ex((LOOPBACK, port)) != 0
