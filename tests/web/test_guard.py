import socket
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.web.served import Served, serving
from upbring.web.guard import (
    LOOPBACK,
    OWNER,
    GuardOptions,
    WebAddress,
    identity_of,
    make_web_address,
)
from upbring.web.server import ServerOptions


def secret(_: Request) -> PlainTextResponse:
    return PlainTextResponse("the secret")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    routes = [Route("/", secret, methods=["GET", "POST"])]
    with serving(Starlette(routes=routes)) as server:
        yield server


def test_requests_with_the_token_are_allowed(served: Served) -> None:
    assert served.ask(Cookie=served.cookie).text == "the secret"
    assert served.ask(Authorization=f"Bearer {served.address.token}").text == "the secret"
    assert served.ask(method="POST", Cookie=served.cookie).text == "the secret"
    host = f"localhost:{served.address.port}"
    assert served.ask(Host=host, Cookie=served.cookie).status == 200


def test_the_token_moves_from_the_url_to_a_cookie(served: Served) -> None:
    path = served.address.url.partition(str(served.address.port))[2]
    reply = served.ask(path + "&page=2")
    assert (reply.status, reply.headers["location"]) == (303, "/?page=2")
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith(served.cookie)
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "the secret" not in reply.text


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token=é%FF", "/any"])
def test_requests_without_the_token_are_rejected(served: Served, path: str) -> None:
    reply = served.ask(path.replace("é", "%C3%A9"))
    assert reply.status == 401
    assert reply.text == "missing or wrong token; open the printed URL"


@pytest.mark.parametrize(
    "cookie", ["{name}=wrong", "other={token}", "{name}=", "{name}", ";;;=;", "\x01"]
)
def test_other_cookies_are_rejected(served: Served, cookie: str) -> None:
    named = cookie.format(name=served.address.cookie_name, token=served.address.token)
    assert served.ask(Cookie=named).status in {400, 401}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost", "[::1]:{port}",
     "127.0.0.1:{port}.evil.example", "0.0.0.0:{port}", ""],
)  # fmt: skip
def test_another_host_name_is_rejected_even_with_the_token(served: Served, host: str) -> None:
    reply = served.ask(Host=host.format(port=served.address.port), Cookie=served.cookie)
    assert reply.status == 421
    assert "secret" not in reply.text


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://127.0.0.1:{port}", "null", "http://127.0.0.1:1", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_cross_site_request_is_rejected_even_with_the_token(
    served: Served, origin: str, method: str
) -> None:
    named = origin.format(port=served.address.port)
    reply = served.ask(method=method, Origin=named, Cookie=served.cookie)
    assert reply.status == 403


def test_same_origin_requests_are_allowed(served: Served) -> None:
    origin = f"http://{LOOPBACK}:{served.address.port}"
    for method in ("GET", "POST"):
        assert served.ask(method=method, Origin=origin, Cookie=served.cookie).status == 200


@pytest.mark.parametrize(
    ("method", "site", "mode", "status"),
    [
        ("GET", "cross-site", "no-cors", 403),
        ("GET", "same-site", "cors", 403),  # another port of this machine
        ("GET", "same-origin", "cors", 200),
        ("GET", "none", "navigate", 200),
        ("GET", "cross-site", "navigate", 200),  # a link; browsers send no strict cookie
        ("POST", "cross-site", "navigate", 403),
        ("POST", "none", "navigate", 403),
        ("POST", "same-origin", "cors", 200),
    ],
)
def test_fetch_metadata_headers_are_checked(
    served: Served, method: str, site: str, mode: str, status: int
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Cookie": served.cookie}
    assert served.ask(method=method, **headers).status == status


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/nowhere"])
def test_every_response_has_the_security_headers(served: Served, path: str) -> None:
    for cookie in ("", served.cookie):
        headers = served.ask(path, Cookie=cookie).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_two_host_headers_are_rejected(served: Served) -> None:
    own = f"Host: {LOOPBACK}:{served.address.port}\r\n"
    text = f"GET / HTTP/1.1\r\n{own}Host: evil.example\r\nCookie: {served.cookie}\r\n\r\n"
    with socket.create_connection((LOOPBACK, served.address.port), timeout=10) as raw:
        raw.sendall(text.encode())
        raw.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert answer.split()[1] in {b"400", b"421"}
    assert b"the secret" not in answer


def test_a_path_with_two_slashes_does_not_redirect_to_another_host(served: Served) -> None:
    reply = served.ask(f"//evil.example/?token={served.address.token}")
    assert reply.headers["location"] == "/evil.example/"


def test_a_web_socket_is_not_opened(served: Served) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    reply = served.ask(**headers, **{"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert reply.status != 101


def test_tokens_are_long_and_random() -> None:
    first, second = make_web_address(1), make_web_address(1)
    assert first.token != second.token
    assert len(first.token) >= 40
    assert WebAddress(80, "x").hosts > {"localhost", "localhost:80"}


def test_a_link_with_another_token_changes_who_is_logged_in() -> None:
    def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(identity_of(request.scope))

    routes = [Route("/", who), Route("/health", who)]
    guard = GuardOptions(
        identify={"ann's": "ann", "bob's": "bob"}.get, public_paths=frozenset({"/health"})
    )
    with serving(Starlette(routes=routes), options=ServerOptions(guard=guard)) as served:
        name = served.address.cookie_name
        assert served.ask(Cookie=served.cookie).text == OWNER
        assert served.ask(Cookie=f"{name}=bob's").text == "bob"
        reply = served.ask("/?token=ann%27s&x=1", Cookie=f"{name}=bob's")
        assert (reply.status, reply.headers["location"]) == (303, "/?x=1")
        assert served.ask(Cookie=reply.headers["set-cookie"].partition(";")[0]).text == "ann"
        assert served.ask("/?token=wrong", Cookie=served.cookie).status == 401
        assert served.ask("/health").text == ""
        assert served.ask("/health?token=wrong").status == 401
        assert served.ask("/health", Host="evil.example").status == 421
