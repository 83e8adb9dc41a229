from collections.abc import Iterator

import pytest

from tests.evaluate.scripted import user_prompt
from tests.remote.scripted_server import ScriptedServer, serving
from upbring.durable import KeyedRows
from upbring.errors import InputError
from upbring.evaluate.endpoint import Endpoint
from upbring.evaluate.model_protocol import LikelihoodRequest
from upbring.remote.client import Client


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as found:
        yield found


def endpoint(url: str, *, max_tokens: int = 9, name: str = "mine") -> Endpoint:
    return Endpoint(Client(f"{url}#mine", KeyedRows()), max_tokens, name)


def test_responses_are_in_the_order_of_the_prompts(server: ScriptedServer) -> None:
    texts = [f"text {i}" for i in range(20)]
    found = endpoint(server.url).generate([user_prompt(t) for t in texts])
    assert found == [t.upper() for t in texts]
    body = server.requests[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("mine", 0.0, 9)


def test_samples_are_seeded_at_temperature_one(server: ScriptedServer) -> None:
    endpoint(server.url).sample([user_prompt("a")], seed=7)
    body = server.requests[0].body
    assert (body["temperature"], body["seed"]) == (1.0, 7)


def test_methods_that_need_log_probabilities_are_rejected() -> None:
    blind = endpoint("http://127.0.0.1:9/v1", name="blind")
    for act in (
        lambda: blind.document_likelihoods(["a"]),
        lambda: blind.likelihoods([LikelihoodRequest("a", ("b",))]),
        lambda: blind.complete(["a"], max_tokens=3),
    ):
        with pytest.raises(InputError, match=r"blind: is an endpoint, which .*; remove"):
            act()


def test_the_identity_depends_on_url_and_max_tokens() -> None:
    one = endpoint("http://127.0.0.1:9/v1")
    assert one.identity == endpoint("http://127.0.0.1:9/v1", name="b").identity
    assert one.identity != endpoint("http://127.0.0.1:9/v1", max_tokens=10).identity
