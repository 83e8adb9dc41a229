import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.evaluate.scripted import user_prompt
from upbring.errors import InputError
from upbring.evaluate.endpoint import API_KEY_VARIABLE, Endpoint, is_url
from upbring.evaluate.model_protocol import LikelihoodRequest
from upbring.evaluate.preference import AnswerPair


class Server(ThreadingHTTPServer):
    """A local endpoint with scripted replies."""

    replies: list[tuple[int, object]]
    requests: list[tuple[str, dict[str, object], str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        self.server.requests.append((self.path, body, self.headers.get("Authorization")))
        status, reply = self.server.replies.pop(0) if self.server.replies else (200, None)
        if reply is None:
            reply = {"choices": [{"message": {"content": body["messages"][-1]["content"].upper()}}]}
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    with Server(("127.0.0.1", 0), Handler) as found:
        found.replies, found.requests = [], []
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def endpoint(server: Server, *, pauses: list[float] | None = None) -> Endpoint:
    url = f"http://127.0.0.1:{server.server_address[1]}/v1#mine"
    return Endpoint(url, 9, "mine", pause=[].append if pauses is None else pauses.append)


def test_a_url_is_distinguished_from_a_folder() -> None:
    assert is_url("https://example.org/v1")
    assert is_url("http://localhost:8000/v1#a")
    assert not any(map(is_url, ("runs/sft-1", "owner/name", "builtin:sprout", "file:///etc")))


def test_responses_are_in_the_order_of_the_prompts(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret")
    texts = [f"text {i}" for i in range(20)]
    assert endpoint(server).generate([user_prompt(t) for t in texts]) == [t.upper() for t in texts]
    path, body, key = server.requests[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("mine", 0.0, 9)


def test_samples_are_seeded_at_temperature_one(server: Server) -> None:
    endpoint(server).sample([user_prompt("a")], seed=7)
    _, body, key = server.requests[0]
    assert (body["temperature"], body["seed"], key) == (1.0, 7, None)


def test_a_busy_endpoint_is_retried(server: Server) -> None:
    server.replies = [(429, {}), (503, {})]
    pauses: list[float] = []
    assert endpoint(server, pauses=pauses).generate([user_prompt("a")]) == ["A"]
    assert pauses == [1.0, 4.0]


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        (
            [(401, {"error": "no key"})],
            f"responded with HTTP status 401: .*; set .* {API_KEY_VARIABLE}",
        ),
        ([(404, {})], "responded with HTTP status 404: .*; give the URL up to and including"),
        ([(400, {})], "responded with HTTP status 400: .*; ask the operator of the server"),
        ([(503, {})] * 4, "responded with HTTP status 503: .*; try again later"),
        ([(200, b"<html>")], "responded with '<html>', which is not a chat completion; give"),
    ],
)
def test_an_error_names_the_problem_and_what_to_do(
    server: Server, replies: list[tuple[int, object]], message: str
) -> None:
    server.replies = replies
    with pytest.raises(InputError, match=f"mine: {message}"):
        endpoint(server).generate([user_prompt("a")])


def test_an_unreachable_endpoint_is_reported(server: Server) -> None:
    nobody = Endpoint("http://127.0.0.1:9/v1", 9, "nobody", pause=lambda _: None)
    with pytest.raises(InputError, match=r"nobody: cannot be reached \(.*\); check the URL"):
        nobody.generate([user_prompt("a")])
    assert not server.requests


def test_a_judge_replies_with_a_letter(server: Server) -> None:
    replies = ["A", "I choose B.", "C", "Both are fine"]
    server.replies = [(200, {"choices": [{"message": {"content": text}}]}) for text in replies]
    judge = endpoint(server)
    found = [
        judge.win_probabilities([AnswerPair(user_prompt("Q"), "one", "other")])[0] for _ in replies
    ]
    assert found == [1.0, 0.0, 0.5, 0.5]
    text = str(server.requests[0][1]["messages"])
    assert "[Answer A]\\none" in text
    assert "[Answer B]\\nother" in text


def test_methods_that_need_log_probabilities_are_rejected() -> None:
    blind = Endpoint("http://127.0.0.1:9/v1", 9, "blind")
    for act in (
        lambda: blind.document_likelihoods(["a"]),
        lambda: blind.likelihoods([LikelihoodRequest("a", ("b",))]),
        lambda: blind.complete(["a"], max_tokens=3),
    ):
        with pytest.raises(InputError, match=r"blind: is an endpoint, which .*; remove"):
            act()


def test_the_identity_depends_on_url_and_max_tokens() -> None:
    one = Endpoint("http://127.0.0.1:9/v1", 9, "a")
    assert one.identity == Endpoint("http://127.0.0.1:9/v1", 9, "b").identity
    assert one.identity != Endpoint("http://127.0.0.1:9/v1", 10, "a").identity
