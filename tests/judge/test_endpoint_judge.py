import math
from collections.abc import Iterator, Sequence

import pytest

from tests.judge.scripted_judge import about
from tests.remote.scripted_server import Body, Scripted, ScriptedServer, chat, serving
from upbring.durable import KeyedRows
from upbring.errors import InputError
from upbring.judge.endpoint_judge import DecisionJudge, EndpointJudge
from upbring.judge.judgment import Judgment
from upbring.remote.client import Client
from upbring.remote.transport import RefusedError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as found:
        yield found


def judge(server: ScriptedServer, rows: KeyedRows | None = None, **options: int) -> EndpointJudge:
    rows = KeyedRows() if rows is None else rows
    return EndpointJudge(Client(f"{server.url}#j", rows), **options)  # type: ignore[arg-type]  # of a test


def is_good_first(body: Body) -> bool:
    text = body["messages"][0]["content"]
    return bool(text.index("good answer") < text.index("bad answer"))


def with_logprobs(body: Body) -> Scripted:
    """Prefer the good answer with 0.6 to 0.2, and say nothing with 0.1."""
    first, second = (0.6, 0.2) if is_good_first(body) else (0.2, 0.6)
    values = {"A": first, "B": second, "C": 0.1}
    if not body.get("logprobs"):
        return chat(max(values, key=lambda each: values[each]))
    text = "A" if first > second else "B"
    return chat(text, logprobs={letter: math.log(p) for letter, p in values.items()})


def ask(server: ScriptedServer, **options: int) -> Judgment:
    (found,) = judge(server, **options).judge([about("Q", "good answer", "bad answer")])
    return found


def test_log_probabilities_are_used_where_there_are_any(server: ScriptedServer) -> None:
    server.answer = with_logprobs
    found = ask(server)
    assert found.choices == pytest.approx((0.75, 0.25))
    assert found.cannot_say == pytest.approx(1 / 9)
    assert found.label_mass == pytest.approx(0.9)
    assert found.is_flipped is False
    assert len(server.requests) == 2  # the first shows the mode, and is used


def test_a_server_that_ignores_logprobs_is_sampled(server: ScriptedServer) -> None:
    def answer(body: Body) -> Scripted:
        if body["temperature"] == 0:
            return chat("A")
        good = body["seed"] < 4  # 4 of 5 samples prefer the good answer
        return chat("A" if is_good_first(body) == good else "B")

    server.answer = answer
    found = ask(server)
    assert found.choices == pytest.approx((0.8, 0.2))
    assert found.label_mass is None
    assert sorted(request.body["seed"] for request in server.requests[1:]) == sorted(
        [*range(5)] * 2
    )


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_logprobs_is_sampled(server: ScriptedServer, status: int) -> None:
    def answer(body: Body) -> Scripted:
        return Scripted(status, {}) if "logprobs" in body else with_logprobs(body)

    server.answer = answer
    assert ask(server, num_samples=3).choices == (1.0, 0.0)
    assert len(server.requests) == 1 + 6


def test_a_server_without_permission_is_not_asked_again(server: ScriptedServer) -> None:
    server.replies = [Scripted(401, {})]
    with pytest.raises(RefusedError, match="HTTP status 401"):
        ask(server)
    assert len(server.requests) == 1


def test_prose_is_not_understood_even_if_it_begins_with_a_letter(server: ScriptedServer) -> None:
    server.answer = lambda _: chat("A reasonable answer", logprobs={"A": -0.1, "B": -3.0})
    found = ask(server)
    assert (found.is_understood, found.choices) == (False, None)
    server.answer = lambda _: chat("Both are fine.")
    assert not ask(server).is_understood


def test_labels_with_hardly_any_mass_are_not_understood(server: ScriptedServer) -> None:
    server.answer = lambda _: chat("A", logprobs={"The": -0.01, "A": -5.0})
    found = ask(server)
    assert not found.is_understood
    assert found.label_mass == pytest.approx(math.exp(-5))


def test_reasoning_ends_with_the_answer(server: ScriptedServer) -> None:
    def answer(body: Body) -> Scripted:
        return chat(f"One is good.\nAnswer: {'A' if is_good_first(body) else 'B'}")

    server.answer = answer
    one = EndpointJudge(Client(server.url, KeyedRows()), has_reasoning=True)
    (found,) = one.judge([about("Q", "good answer", "bad answer")])
    assert found.choices == (1.0, 0.0)
    assert found.verdicts[0].text == "One is good.\nAnswer: A"
    assert server.requests[0].body["max_tokens"] == 512


def test_a_second_run_makes_no_call(server: ScriptedServer) -> None:
    server.answer = with_logprobs
    rows, question = KeyedRows(), about("Q", "good answer", "bad answer")
    first = judge(server, rows).judge([question])
    count = len(server.requests)
    assert judge(server, rows).judge([question]) == first
    assert len(server.requests) == count


def decisions(probabilities: Sequence[object]) -> Scripted:
    better = {"type": "choice", "probabilities": dict(zip("ABC", probabilities, strict=False))}
    return Scripted(200, {"model": "d", "answers": {"better": better}})


def test_a_decision_server_returns_the_probabilities(server: ScriptedServer) -> None:
    def answer(body: Body) -> Scripted:
        is_first = body["state"]["answer A"] == "good"
        return decisions((0.6, 0.2, 0.2) if is_first else (0.2, 0.6, 0.2))

    server.answer = answer
    one = DecisionJudge(Client(f"{server.url}/systemone#d", KeyedRows()))
    (found,) = one.judge([about("Q", "good", "bad")])
    assert found.choices == pytest.approx((0.75, 0.25))
    assert server.requests[0].path == "/v1/systemone"
    asked = server.requests[0].body["questions"]["better"]
    assert (asked["type"], [*asked["criteria"]]) == ("choice", ["A", "B", "C"])


@pytest.mark.parametrize("probabilities", [(), (0.5, 0.5), ("x", 0, 1), (-1, 1, 1), (0, 0, 0)])
def test_a_decision_without_all_probabilities_is_not_understood(
    server: ScriptedServer, probabilities: Sequence[object]
) -> None:
    server.answer = lambda _: decisions(probabilities)
    one = DecisionJudge(Client(f"{server.url}/systemone", KeyedRows()))
    assert not one.judge([about("Q", "x", "y")])[0].is_understood


def test_identities_tell_servers_and_settings_apart(server: ScriptedServer) -> None:
    names = {judge(server).identity, judge(server, num_samples=2).identity}
    assert len(names | {DecisionJudge(Client(server.url, KeyedRows())).identity}) == 3


def test_a_page_that_is_no_server_is_named(server: ScriptedServer) -> None:
    server.answer = lambda _: Scripted(200, b"<html>")
    with pytest.raises(InputError, match="is not a JSON object"):
        ask(server)
