import socket
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.web.served import Served, serving
from upbring.web.guard import LOOPBACK, WebAddress, make_web_address


def secret(_: Request) -> PlainTextResponse:
    return PlainTextResponse("the secret")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    routes = [Route("/", secret, methods=["GET", "POST"])]
    with serving(Starlette(routes=routes)) as found:
        yield found


def test_who_has_the_key_is_let_in(served: Served) -> None:
    assert served.ask(Cookie=served.cookie).text == "the secret"
    assert served.ask(Authorization=f"Bearer {served.door.token}").text == "the secret"
    assert served.ask(method="POST", Cookie=served.cookie).text == "the secret"
    host = f"localhost:{served.door.port}"
    assert served.ask(Host=host, Cookie=served.cookie).status == 200


def test_the_key_comes_once_in_the_address_and_stays_in_a_cookie(served: Served) -> None:
    path = served.door.url.partition(str(served.door.port))[2]
    found = served.ask(path + "&page=2")
    assert (found.status, found.headers["location"]) == (303, "/?page=2")
    cookie = found.headers["set-cookie"]
    assert cookie.startswith(served.cookie)
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "the secret" not in found.text


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token=é%FF", "/any"])
def test_without_the_key_nothing_is_told(served: Served, path: str) -> None:
    found = served.ask(path.replace("é", "%C3%A9"))
    assert found.status == 401
    assert found.text == "no key; open the address as it was printed"


@pytest.mark.parametrize(
    "cookie", ["{name}=wrong", "other={token}", "{name}=", "{name}", ";;;=;", "\x01"]
)
def test_another_cookie_is_no_key(served: Served, cookie: str) -> None:
    named = cookie.format(name=served.door.cookie_name, token=served.door.token)
    assert served.ask(Cookie=named).status in {400, 401}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost", "[::1]:{port}",
     "127.0.0.1:{port}.evil.example", "0.0.0.0:{port}", ""],
)  # fmt: skip
def test_another_host_s_name_is_refused_even_with_the_key(served: Served, host: str) -> None:
    found = served.ask(Host=host.format(port=served.door.port), Cookie=served.cookie)
    assert found.status == 421
    assert "secret" not in found.text


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://127.0.0.1:{port}", "null", "http://127.0.0.1:1", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_site_s_request_is_refused_even_with_the_key(
    served: Served, origin: str, method: str
) -> None:
    named = origin.format(port=served.door.port)
    found = served.ask(method=method, Origin=named, Cookie=served.cookie)
    assert found.status == 403


def test_our_own_page_may_ask_and_send(served: Served) -> None:
    origin = f"http://{LOOPBACK}:{served.door.port}"
    for method in ("GET", "POST"):
        assert served.ask(method=method, Origin=origin, Cookie=served.cookie).status == 200


@pytest.mark.parametrize(
    ("method", "site", "mode", "status"),
    [
        ("GET", "cross-site", "no-cors", 403),
        ("GET", "same-site", "cors", 403),  # another port of this machine
        ("GET", "same-origin", "cors", 200),
        ("GET", "none", "navigate", 200),
        ("GET", "cross-site", "navigate", 200),  # a link: no strict cookie comes with it
        ("POST", "cross-site", "navigate", 403),
        ("POST", "none", "navigate", 403),
        ("POST", "same-origin", "cors", 200),
    ],
)
def test_what_browsers_say_of_a_request_is_heard(
    served: Served, method: str, site: str, mode: str, status: int
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Cookie": served.cookie}
    assert served.ask(method=method, **headers).status == status


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/nowhere"])
def test_every_answer_carries_the_headers(served: Served, path: str) -> None:
    for cookie in ("", served.cookie):
        found = served.ask(path, Cookie=cookie).headers
        assert found["content-security-policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in found["content-security-policy"]
        assert found["x-content-type-options"] == "nosniff"
        assert found["x-frame-options"] == "DENY"
        assert found["cache-control"] == "no-store"
        assert found["referrer-policy"] == "same-origin"
        assert "server" not in found
        assert "access-control-allow-origin" not in found


def test_two_hosts_in_one_request_are_refused(served: Served) -> None:
    own = f"Host: {LOOPBACK}:{served.door.port}\r\n"
    text = f"GET / HTTP/1.1\r\n{own}Host: evil.example\r\nCookie: {served.cookie}\r\n\r\n"
    with socket.create_connection((LOOPBACK, served.door.port), timeout=10) as raw:
        raw.sendall(text.encode())
        raw.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert answer.split()[1] in {b"400", b"421"}
    assert b"the secret" not in answer


def test_a_path_of_two_slashes_leads_nowhere_else(served: Served) -> None:
    found = served.ask(f"//evil.example/?token={served.door.token}")
    assert found.headers["location"] == "/evil.example/"


def test_a_web_socket_is_not_opened(served: Served) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    found = served.ask(**headers, **{"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert found.status != 101


def test_keys_are_long_and_never_the_same() -> None:
    first, second = make_web_address(1), make_web_address(1)
    assert first.token != second.token
    assert len(first.token) >= 40
    assert WebAddress(80, "x").hosts > {"localhost", "localhost:80"}
