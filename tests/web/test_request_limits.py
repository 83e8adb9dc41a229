from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Scope

from tests.web.served import Served, serving
from upbring.web.guard import GuardOptions, identity_of
from upbring.web.request_limits import LimitRequests, RequestLimits
from upbring.web.server import ServerOptions


async def size(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())} from {identity_of(request.scope)}")


OPTIONS = ServerOptions(
    guard=GuardOptions(identify=lambda token: "ann" if token == "ann's" else None),  # noqa: S105 -- a test's
    limits=RequestLimits(max_body_bytes=1000, per_second=0.0, burst=4),
)


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Starlette(routes=[Route("/", size, methods=["POST"])]), options=OPTIONS) as server:
        yield server


def test_a_body_over_the_limit_is_refused(served: Served) -> None:
    assert served.ask(method="POST", body=b"x" * 1000, Cookie=served.cookie).text == (
        "1000 from owner"
    )
    for headers in ({}, {"Transfer-Encoding": "chunked"}):
        reply = served.ask(method="POST", body=b"x" * 1001, Cookie=served.cookie, **headers)
        assert (reply.status, reply.text) == (413, "the body is larger than 1000 bytes; send less")


def test_each_identity_has_a_rate_of_its_own(served: Served) -> None:
    replies = [served.ask(method="POST", Cookie=served.cookie) for _ in range(6)]
    assert [reply.status for reply in replies] == [200, 200, 200, 200, 429, 429]
    assert replies[-1].headers["retry-after"] == "1"
    reply = served.ask(method="POST", Authorization="Bearer ann's")
    assert reply.text == "0 from ann"


def test_the_rate_recovers_with_time() -> None:
    now = 0.0
    app = LimitRequests(Starlette(), RequestLimits(per_second=2.0, burst=2, clock=lambda: now))
    assert [app._take_token("a") for _ in range(3)] == [True, True, False]
    now = 0.5
    assert [app._take_token("a") for _ in range(2)] == [True, False]
    now = 100.0
    assert [app._take_token("a") for _ in range(3)] == [True, True, False]


def test_few_identities_are_remembered() -> None:
    app = LimitRequests(Starlette(), RequestLimits())
    for number in range(1500):
        app._take_token(str(number))
    assert len(app._buckets) == 1000


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"\xb2"])
def test_a_malformed_length_is_refused(length: bytes) -> None:
    statuses = []

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    async def receive() -> Message:
        return {"type": "http.request"}

    scope: Scope = {"type": "http", "headers": [(b"content-length", length)]}
    coroutine = LimitRequests(Starlette(), RequestLimits())(scope, receive, send)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert statuses[0] == 413
