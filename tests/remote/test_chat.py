import pytest

from tests.remote.scripted_server import Scripted, ScriptedServer, chat
from upbring.durable import KeyedRows
from upbring.errors import InputError
from upbring.remote.chat import ChatOptions, chat_text, chat_texts, first_token_logprobs
from upbring.remote.client import Client, Reply


def reply(scripted: Scripted) -> Reply:
    assert isinstance(scripted.content, dict)
    return scripted.content


def test_the_settings_are_sent(server: ScriptedServer) -> None:
    client = Client(f"{server.url}#mine", KeyedRows())
    options = ChatOptions(9, temperature=0.5, top_p=0.9, seed=7, stop=("END",), top_logprobs=5)
    assert chat_texts(client, [[{"role": "user", "content": "a"}]], options) == ["A"]
    assert server.requests[0].body == {
        "model": "mine",
        "messages": [{"role": "user", "content": "a"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 7,
        "top_p": 0.9,
        "stop": ["END"],
        "logprobs": True,
        "top_logprobs": 5,
    }


def test_what_is_not_needed_is_not_sent(server: ScriptedServer) -> None:
    chat_texts(
        Client(server.url, KeyedRows()), [[{"role": "user", "content": "a"}]], ChatOptions(9)
    )
    assert server.requests[0].body.keys() == {
        "model",
        "messages",
        "temperature",
        "max_tokens",
        "seed",
    }


def test_an_answer_without_text_is_empty() -> None:
    assert chat_text({"choices": [{"message": {"content": None}}]}, "mine") == ""


@pytest.mark.parametrize("found", [{}, {"choices": []}, {"choices": "A"}, {"error": "x"}])
def test_a_reply_that_is_no_chat_completion_is_named(found: Reply) -> None:
    with pytest.raises(InputError, match=r"mine: responded with .*, which is not a chat"):
        chat_text(found, "mine")


def test_log_probabilities_are_those_of_the_first_token() -> None:
    found = first_token_logprobs(reply(chat("A", logprobs={"A": -0.1, " B": -2.5})))
    assert found == {"A": -0.1, " B": -2.5}


def test_two_tokens_of_the_same_text_keep_the_likelier() -> None:
    top = [{"token": "A", "logprob": x} for x in (-3, -1, float("nan"))]
    found = {"choices": [{"logprobs": {"content": [{"top_logprobs": top}]}}]}
    assert first_token_logprobs(found) == {"A": -1}


@pytest.mark.parametrize("logprobs", [None, {}, {"content": []}, {"content": [{"token": "A"}]}])
def test_a_server_that_ignores_logprobs_gives_none(logprobs: object) -> None:
    assert first_token_logprobs({"choices": [{"logprobs": logprobs}]}) is None
