import socket

import pytest
from starlette.applications import Starlette

from tests.web.served import serving
from upbring.errors import InputError
from upbring.web.guard import LOOPBACK
from upbring.web.server import bind_socket


def test_only_this_machine_can_reach_it() -> None:
    with bind_socket(0) as place:
        assert place.getsockname()[0] == LOOPBACK


def test_a_port_that_is_taken_is_named() -> None:
    with bind_socket(0) as place:
        place.listen()
        port = place.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"^--port: {port} cannot be had \(.+\); give another"
        ):
            bind_socket(port)


def test_it_stops_when_asked_and_lets_go_of_the_port() -> None:
    with serving(Starlette()) as found:
        assert found.ask(Cookie=found.cookie).status == 404
        port = found.door.port
    with socket.socket() as made:
        made.settimeout(5)
        assert made.connect_ex((LOOPBACK, port)) != 0
