from typing import Any

import pytest
import torch

from tests.serve.http.serving import SmallServer
from tests.tolerances import LOGPROBS
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.model.score import score_tokens

PATH = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


def ask(server: SmallServer, **fields: object) -> Any:
    return server.post(PATH, **{"messages": HELLO, "max_tokens": 12, "temperature": 0, **fields})


def test_a_response_has_what_clients_read(server: SmallServer) -> None:
    found = ask(server, model="small")
    assert found["id"].startswith("chatcmpl-")
    assert (found["object"], found["model"]) == ("chat.completion", "small")
    (choice,) = found["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    assert choice["message"].keys() == {"role", "content", "refusal"}
    usage = found["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + 12


def test_logprobs_are_those_that_score_computes(server: SmallServer) -> None:
    texts = server.served.texts
    unused = {str(i): -100 for i in range(texts.tokenizer.size, server.loaded.model.vocab_size)}
    found = ask(server, logprobs=True, top_logprobs=2, logit_bias=unused)["choices"][0]
    entries = found["logprobs"]["content"]
    by_bytes = {texts.token_bytes(i): i for i in range(texts.tokenizer.size)}
    response = [by_bytes[bytes(entry["bytes"])] for entry in entries]
    prompt = server.post("/tokenize", messages=HELLO)["tokens"]
    batch = make_batch([make_tree(prompt, response)])

    def compute() -> list[float]:
        with torch.no_grad():
            values: list[float] = score_tokens(server.loaded.model, batch).logprobs.tolist()
        return values

    expected = server.served.engine.call(compute).result(60)
    assert [entry["logprob"] for entry in entries] == pytest.approx(expected, abs=LOGPROBS)
    assert all(len(entry["top_logprobs"]) == 2 for entry in entries)


def test_a_stream_is_the_whole_response_in_pieces(server: SmallServer) -> None:
    fields: dict[str, Any] = {"logprobs": True, "n": 2, "seed": 5, "temperature": 1}
    whole = ask(server, **fields)
    options = {"include_usage": True}
    events = server.stream(PATH, messages=HELLO, max_tokens=12, stream_options=options, **fields)
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    for index in range(2):
        own = [e["choices"][0] for e in events[:-1] if e["choices"][0]["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        text = "".join(each["delta"].get("content", "") for each in own)
        assert text == whole["choices"][index]["message"]["content"]
        assert own[-1]["finish_reason"] == "length"
        tokens = [t for each in own if each["logprobs"] for t in each["logprobs"]["content"]]
        assert tokens == whole["choices"][index]["logprobs"]["content"]


def test_usage_is_streamed_only_when_asked_for(server: SmallServer) -> None:
    events = server.stream(PATH, messages=HELLO, max_tokens=2)
    assert not any("usage" in event for event in events)


def test_the_same_seed_gives_the_same_samples(server: SmallServer) -> None:
    texts = [
        [c["message"]["content"] for c in ask(server, seed=s, temperature=1, n=3)["choices"]]
        for s in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0])) == 3


def test_adapters_are_selected_by_name(server: SmallServer) -> None:
    base, bold, default = (ask(server, model=m)["choices"][0] for m in ("small", "bold", "default"))
    assert base["message"] != bold["message"]
    assert base["message"] == default["message"]


def test_unknown_optional_fields_are_ignored(server: SmallServer) -> None:
    extra = {"metadata": {"a": 1}, "store": True, "user": "x", "service_tier": "auto", "zeal": 1}
    assert ask(server, **extra)["choices"] == ask(server)["choices"]


def test_text_parts_are_read_as_one_text(server: SmallServer) -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    found = ask(server, messages=[{"role": "user", "content": parts}])
    assert found["choices"] == ask(server)["choices"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "judge"}, "model"),
        ({"model": 3}, "model"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stop": 5}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
        ),
        ({"messages": "hello"}, "messages"),
        ({"functions": [{}]}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"messages": [{"role": "user", "content": "word " * 300}]}, "messages"),
        ({"messages": [{"role": "user", "content": "\ud83d"}]}, "messages"),
    ],
)
def test_a_wrong_field_is_named(server: SmallServer, fields: dict[str, Any], param: str) -> None:
    error = server.reject(PATH, **{"messages": HELLO, **fields})
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_an_unknown_model_is_not_found(server: SmallServer) -> None:
    status, found = server.ask(PATH, {"model": "nope", "messages": HELLO})
    assert (status, found["error"]["code"]) == (404, "model_not_found")


def test_the_response_ends_before_a_stop_string(server: SmallServer) -> None:
    text = ask(server, max_tokens=30)["choices"][0]["message"]["content"]
    stop = text[6:9]
    found = ask(server, max_tokens=30, stop=[stop])["choices"][0]
    assert found["message"]["content"] == text[: text.index(stop)]
    assert found["finish_reason"] == "stop"
