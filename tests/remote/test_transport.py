import datetime as dt
import email.utils
import socket
from email.message import Message

import pytest

from tests.remote.scripted_server import Scripted, ScriptedServer
from upbring.errors import InputError
from upbring.remote import transport
from upbring.remote.address import API_KEY_VARIABLE
from upbring.remote.transport import Failure, RefusedError, parse_retry_after, post


def send(server: ScriptedServer, *, timeout: float = 10) -> bytes | Failure:
    return post(server.url, b'{"messages": [{"content": "a"}]}', timeout=timeout, name="mine")


def headers(**values: str) -> Message:
    message = Message()
    for name, value in values.items():
        message[name.replace("_", "-")] = value
    return message


def test_a_reply_is_returned_as_bytes_and_the_key_is_sent(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret")
    server.replies = [Scripted(200, b"anything")]
    assert send(server) == b"anything"
    assert server.requests[0].authorization == "Bearer secret"


def test_the_time_to_wait_is_read_in_three_forms() -> None:
    date = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=40)
    assert parse_retry_after(headers(retry_after="7")) == 7
    assert parse_retry_after(headers(retry_after_ms="1500", retry_after="7")) == 1.5
    by_date = parse_retry_after(headers(retry_after=email.utils.format_datetime(date, usegmt=True)))
    assert by_date == pytest.approx(40, abs=2)
    assert parse_retry_after(headers(retry_after="soon")) is None
    assert parse_retry_after(headers()) is None
    assert parse_retry_after(headers(retry_after="-5")) == 0


def test_without_a_time_to_wait_the_pauses_double_up_to_a_limit() -> None:
    failure = Failure("x", "y")
    assert [failure.pause(n) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert Failure("x", "y", retry_after=3).pause(5) == 3


@pytest.mark.parametrize(
    ("status", "is_busy"), [(429, True), (503, True), (500, False), (408, False)]
)
def test_a_status_that_may_pass_is_a_failure(
    server: ScriptedServer, status: int, *, is_busy: bool
) -> None:
    server.replies = [Scripted(status, {}, {"Retry-After": "9"})]
    failure = send(server)
    assert isinstance(failure, Failure)
    assert (failure.is_busy, failure.retry_after) == (is_busy, 9)
    assert f"HTTP status {status}" in failure.problem


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, f"responded with HTTP status 401: .*; set .* {API_KEY_VARIABLE}"),
        (404, "responded with HTTP status 404: .*; give the URL up to and including"),
        (400, "responded with HTTP status 400: .*; ask the operator of the server"),
    ],
)
def test_a_refusal_names_the_problem_and_what_to_do(
    server: ScriptedServer, status: int, message: str
) -> None:
    server.replies = [Scripted(status, {"error": "no"})]
    with pytest.raises(RefusedError, match=f"mine: {message}") as error:
        send(server)
    assert error.value.status == status


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_not_followed(
    server: ScriptedServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret")
    server.replies = [Scripted(status, {}, {"Location": f"{server.url}/elsewhere"})]
    with pytest.raises(RefusedError, match=r"mine: redirects to '.*elsewhere'; give that URL"):
        send(server)
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_a_failure() -> None:
    failure = post("http://127.0.0.1:9/v1", b"{}", timeout=5, name="nobody")
    assert isinstance(failure, Failure)
    assert failure.problem.startswith("cannot be reached (")


def test_a_server_that_does_not_answer_in_time_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        failure = post(url, b"{}", timeout=0.05, name="silent")
    assert isinstance(failure, Failure)
    assert failure.problem == "did not answer within 0.05 seconds"


def test_a_reply_without_end_is_rejected(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", 10)
    server.replies = [Scripted(200, b"x" * 11)]
    with pytest.raises(InputError, match="mine: replied with more than 10 bytes; check the URL"):
        send(server)


def test_an_unfinished_reply_is_a_failure(server: ScriptedServer) -> None:
    server.replies = [Scripted(200, b"short", {"Content-Length": "100"})]
    failure = send(server, timeout=0.2)
    assert isinstance(failure, Failure)
    assert failure.problem == "broke off 95 bytes before the end"
