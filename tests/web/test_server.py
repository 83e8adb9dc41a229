import http.client
import socket
import threading

import pytest
from starlette.applications import Starlette

from tests.web.served import serving
from upbring.errors import InputError
from upbring.web.guard import LOOPBACK
from upbring.web.server import ALL_ADDRESSES, ServerOptions, bind_socket, host_names, make_server


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


def test_a_host_is_an_address_of_this_machine() -> None:
    with pytest.raises(InputError, match=r"^--host: no\.such\.invalid is no address"):
        bind_socket(0, host="no.such.invalid")
    with pytest.raises(InputError, match=r"^--port: 192\.0\.2\.1:0 is not available"):
        bind_socket(0, host="192.0.2.1")  # reserved for documentation


def test_a_host_has_the_names_that_reach_it() -> None:
    assert host_names("localhost") == host_names(LOOPBACK) == (LOOPBACK, "localhost")
    assert host_names("Box.lan") == ("box.lan",)
    assert host_names("::1") == ("[::1]", "localhost")
    assert host_names("FE80::2") == ("[fe80::2]",)
    for host, local in zip(ALL_ADDRESSES, (LOOPBACK, "[::1]"), strict=True):
        assert {socket.gethostname().lower(), local} <= {*host_names(host)}
        assert host not in host_names(host)


def test_the_loopback_address_of_ipv6_is_served_under_its_name_in_brackets() -> None:
    try:
        listener = bind_socket(0, host="::1")
    except InputError:
        pytest.skip("this machine has no IPv6")
    with listener:
        options = ServerOptions(host="::1")
        server, address = make_server(Starlette(), listener, options=options)
        assert address.url.startswith(f"http://[::1]:{address.port}/?token=")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            connection = http.client.HTTPConnection("::1", address.port, timeout=10)
            connection.request("GET", "/", headers={"Authorization": f"Bearer {address.token}"})
            assert connection.getresponse().status == 404  # the guard let it pass
            connection.close()
        finally:
            server.should_exit = True
            thread.join()
