import time
from collections.abc import Callable

import pytest

from tests.remote.scripted_server import Body, Scripted, ScriptedServer, chat
from upbring.durable import KeyedRows
from upbring.errors import InputError, Interrupted
from upbring.remote.client import Call, CallLimits, Client, dig
from upbring.remote.usage import Usage


def client(
    server: ScriptedServer,
    rows: KeyedRows | None = None,
    *,
    limits: CallLimits | None = None,
    pauses: list[float] | None = None,
    poll: Callable[[], None] = lambda: None,
    log: Callable[[str], None] = lambda _: None,
) -> Client:
    pause = [].append if pauses is None else pauses.append
    rows = KeyedRows() if rows is None else rows
    return Client(f"{server.url}#mine", rows, limits=limits, pause=pause, poll=poll, log=log)


def calls(*texts: str) -> list[Call]:
    return [Call("/chat/completions", {"messages": [{"content": text}]}) for text in texts]


def texts(replies: list[object]) -> list[object]:
    return [dig(reply, "choices", 0, "message", "content") for reply in replies]


def test_replies_are_in_the_order_of_the_calls_and_equal_calls_are_made_once(
    server: ScriptedServer,
) -> None:
    names = [f"text {i % 20}" for i in range(30)]
    one = client(server)
    assert texts([*one.call_all(calls(*names))]) == [name.upper() for name in names]
    assert (len(server.requests), one.usage) == (20, Usage(20, 200, 20))
    assert server.requests[0].path == "/v1/chat/completions"


def test_a_second_run_makes_no_call(server: ScriptedServer) -> None:
    rows = KeyedRows()
    client(server, rows).call_all(calls("a", "b"))
    again = client(server, rows)
    assert texts([*again.call_all(calls("b", "a"))]) == ["B", "A"]
    assert (len(server.requests), again.usage) == (2, Usage())


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [{"content": "b"}]},
        {"messages": [{"content": "a"}], "model": "other"},
        {"messages": [{"content": "a"}], "temperature": 1.0},
    ],
)
def test_everything_that_is_sent_belongs_to_the_key(server: ScriptedServer, other: Body) -> None:
    one, (call,) = client(server), calls("a")
    assert one.key(call) == client(server).key(call)
    assert one.key(Call(call.path, other)) != one.key(call)
    assert one.key(Call("/completions", call.body)) != one.key(call)


def test_a_server_that_is_busy_for_a_minute_is_waited_for(server: ScriptedServer) -> None:
    server.replies = [Scripted(429, {}, {"Retry-After": "20"})] * 3
    pauses: list[float] = []
    messages: list[str] = []
    found = client(server, pauses=pauses, log=messages.append).call_all(calls("a"))
    assert texts([*found]) == ["A"]
    assert [round(p) for p in pauses] == [20, 20, 20, 20, 20, 20]  # once asked, once held
    assert messages[0].endswith("#mine: is busy; waiting 20 seconds")


def test_a_server_that_asks_for_too_much_time_is_given_up(server: ScriptedServer) -> None:
    server.replies = [Scripted(429, {}, {"Retry-After": "301"})]
    with pytest.raises(
        InputError, match=r"mine: responded with HTTP status 429: .* and asks to wait 301 s"
    ):
        client(server).call_all(calls("a"))


def test_a_failure_is_tried_four_times(server: ScriptedServer) -> None:
    server.replies = [Scripted(500, {})] * 9
    pauses: list[float] = []
    with pytest.raises(
        InputError, match=r"mine: responded with HTTP status 500: .*; try again later"
    ):
        client(server, pauses=pauses).call_all(calls("a"))
    assert pauses == [1, 2, 4]


def test_the_budget_is_checked_before_the_first_call(server: ScriptedServer) -> None:
    rows = KeyedRows()
    client(server, rows).call_all(calls("a"))
    limited = client(server, rows, limits=CallLimits(max_calls=1))
    assert texts([*limited.call_all(calls("a", "b"))]) == ["A", "B"]  # a stored reply is free
    with pytest.raises(
        InputError, match=r"needs 1 more call, and 0 of max_calls 1 are left; raise"
    ):
        limited.call_all(calls("c"))
    assert len(server.requests) == 2


def test_paid_replies_are_kept_after_an_error(server: ScriptedServer) -> None:
    rows = KeyedRows()

    def answer(body: Body) -> Scripted:
        return Scripted(400, {}) if body["messages"][0]["content"] == "bad" else chat("good")

    server.answer = answer
    one = client(server, rows, limits=CallLimits(concurrency=1))
    with pytest.raises(InputError, match="HTTP status 400"):
        one.call_all(calls("a", "b", "bad", "c"))
    assert len(rows) >= 2
    assert not one.missing(calls("a", "b"))


def test_an_interruption_keeps_the_calls_in_flight(server: ScriptedServer) -> None:
    rows = KeyedRows()

    def poll() -> None:
        if server.requests:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        client(server, rows, poll=poll, limits=CallLimits(concurrency=1)).call_all(
            calls(*map(str, range(200)))
        )
    assert len(rows) == len(server.requests) < 200


def test_another_model_that_answers_is_noticed(server: ScriptedServer) -> None:
    rows = KeyedRows()
    server.replies = [chat("x", model="judge-1"), chat("y", model="judge-1")]
    client(server, rows).call_all(calls("a"))
    server.replies[:] = [chat("y", model="judge-2")]
    message = r"answered as model 'judge-2', and as 'judge-1' before; answers of two models are not"
    with pytest.raises(InputError, match=message):
        client(server, rows).call_all(calls("a", "b"))
    assert len(rows) == 1


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'"text"', b"", b"[" * 100_000])
def test_a_reply_that_is_not_an_object_is_named(server: ScriptedServer, content: bytes) -> None:
    server.replies = [Scripted(200, content)]
    with pytest.raises(
        InputError, match=r"mine: responded with .*, which is not a JSON object; give"
    ):
        client(server).call_all(calls("a"))


def test_calls_run_at_the_same_time(server: ScriptedServer) -> None:
    active: list[int] = []
    peak: list[int] = []

    def answer(_: Body) -> Scripted:
        active.append(1)
        deadline = time.monotonic() + 5
        while len(active) < 4 and not peak and time.monotonic() < deadline:
            pass
        peak.append(len(active))
        return chat("x")

    server.answer = answer
    client(server, limits=CallLimits(concurrency=4)).call_all(calls(*"abcd"))
    assert max(peak) == 4
