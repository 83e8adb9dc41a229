"""Among others, the requests of lm-evaluation-harness, and what it reads in responses."""

from typing import Any

import pytest
import torch

from tests.serve.http.serving import SmallServer
from tests.tolerances import LOGPROBS

PATH = "/v1/completions"
PROMPTS = [[5, 9, 33, 70], [7, 7, 80, 12, 100, 3], [41, 2]]


def exact_logprobs(server: SmallServer, prompt: list[int]) -> torch.Tensor:
    """Return `[T, V]` from plain transformers, in float64."""

    def compute() -> torch.Tensor:
        network = server.loaded.model.network
        network.set_attn_implementation("eager")
        try:
            with torch.no_grad(), server.loaded.roles.active("base"):
                logits: torch.Tensor = network(torch.tensor([prompt]), use_cache=False).logits[0]
        finally:
            network.set_attn_implementation("upbring")
        return logits.double().log_softmax(-1)

    return server.served.engine.call(compute).result(60)


def test_the_harness_reads_likelihoods_of_token_prompts(server: SmallServer) -> None:
    fields = {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    choices = server.post(PATH, model="small", prompt=PROMPTS, **fields)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    for prompt, choice in zip(PROMPTS, choices, strict=True):
        own = choice["logprobs"]["token_logprobs"]
        top = choice["logprobs"]["top_logprobs"]
        assert (own[0], top[0]) == (None, None)
        assert len(own) == len(top) == len(prompt) + 1  # with exactly one generated token
        for i, expected in enumerate(exact_logprobs(server, prompt)[:-1]):
            assert own[i + 1] == pytest.approx(float(expected[prompt[i + 1]]), abs=LOGPROBS)
            is_greedy = own[i + 1] == max(top[i + 1].values())  # as the harness compares
            assert is_greedy == (int(expected.argmax()) == prompt[i + 1])


def test_a_greedy_continuation_is_scored_as_greedy(server: SmallServer) -> None:
    fields = {"max_tokens": 8, "temperature": 0, "logprobs": 0}
    (greedy,) = server.post(PATH, prompt=[PROMPTS[0]], **fields)["choices"]
    texts, tokens, exact = server.served.texts, list(PROMPTS[0]), []
    for _ in range(8):
        row = exact_logprobs(server, tokens)[-1]
        tokens.append(int(row.argmax()))
        exact.append(float(row.max()))
    assert greedy["logprobs"]["tokens"] == [texts.token_text(t) for t in tokens[4:]]
    assert greedy["logprobs"]["token_logprobs"] == pytest.approx(exact, abs=LOGPROBS)
    scored = server.post(PATH, prompt=tokens, max_tokens=1, temperature=0, logprobs=1, echo=True)
    found = scored["choices"][0]["logprobs"]
    pairs = list(zip(found["token_logprobs"], found["top_logprobs"], strict=True))
    assert all(own == max(top.values()) for own, top in pairs[4:-1])


def test_echo_returns_the_prompt_and_offsets_of_its_tokens(server: SmallServer) -> None:
    found = server.post(PATH, prompt="red apple", echo=True, max_tokens=3, logprobs=1)
    (choice,) = found["choices"]
    assert choice["text"].startswith("<|endoftext|>red apple")
    logprobs = choice["logprobs"]
    assert len(logprobs["tokens"]) == len(logprobs["text_offset"])
    start = logprobs["text_offset"][1]
    assert choice["text"][start:].startswith(logprobs["tokens"][1])


def test_only_the_prompt_is_scored_without_new_tokens(server: SmallServer) -> None:
    found = server.post(PATH, prompt=[PROMPTS[1]], echo=True, max_tokens=0, logprobs=1)
    assert len(found["choices"][0]["logprobs"]["token_logprobs"]) == len(PROMPTS[1])


def test_several_prompts_and_samples_are_numbered_by_prompt(server: SmallServer) -> None:
    fields = {"n": 2, "seed": 3, "max_tokens": 5, "temperature": 1, "ignore_eos": True}
    found = server.post(PATH, prompt=["red", "blue"], **fields)
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    events = server.stream(PATH, prompt=["red", "blue"], **fields)
    for choice in found["choices"]:
        pieces = [e["choices"][0] for e in events if e["choices"][0]["index"] == choice["index"]]
        assert "".join(piece["text"] for piece in pieces) == choice["text"]
        assert pieces[-1]["finish_reason"] == choice["finish_reason"]
    assert found["usage"]["completion_tokens"] == 20


def test_16_tokens_are_generated_by_default(server: SmallServer) -> None:
    found = server.post(PATH, prompt="red", ignore_eos=True)
    assert found["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [1, "x"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**12]}, "prompt"),
        ({"prompt": [[1], 2]}, "prompt"),
        ({"prompt": [7] * 400}, "prompt"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "x", "echo": True, "stream": True}, "echo"),
        ({"prompt": "x", "logprobs": 99}, "logprobs"),
        ({"prompt": "x", "best_of": 3}, "best_of"),
        ({"prompt": "x", "suffix": "y"}, "suffix"),
    ],
)
def test_a_wrong_field_is_named(server: SmallServer, fields: dict[str, Any], param: str) -> None:
    assert server.reject(PATH, **fields)["param"] == param
