"""Steps of greedy continuations, worked out from the model's own probabilities."""

import pytest
import torch

from tests.gguf_models import load_kind, make_kind
from upbring.export.gguf import compare as module
from upbring.export.gguf.compare import (
    LlamaCppComparison,
    _compare_steps,
    next_logprobs,
    probe_prompts,
)
from upbring.export.gguf.llama_cpp import Continuation
from upbring.model.network import Model

PROMPT = [5, 6, 7]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_kind(make_kind(tmp_path_factory.mktemp("m") / "m", "llama")).model


def greedy(model: Model, count: int) -> Continuation:
    """Return the model's own greedy continuation."""
    tokens: list[int] = []
    top = []
    for _ in range(count):
        row = next_logprobs(model, [*PROMPT, *tokens])[-1]
        tokens.append(int(row.argmax()))
        top.append({tokens[-1]: float(row.max())})
    return Continuation(tokens, top, is_stopped=False)


@torch.no_grad()
def test_its_own_continuation_is_equal(model: Model) -> None:
    found = _compare_steps(model, PROMPT, greedy(model, 4), ends=frozenset())
    assert found.is_equal
    assert float(found.differences.max()) < 1e-5


@torch.no_grad()
def test_another_token_is_found_and_a_difference_is_measured(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARGIN", 0.0)
    answer = greedy(model, 3)
    answer.tokens[1] = (answer.tokens[1] + 1) % 512
    answer.top[0][answer.tokens[0]] += 0.25
    found = _compare_steps(model, PROMPT, answer, ends=frozenset())
    assert not found.is_equal
    assert found.count == 1
    assert float(found.differences.max()) >= 0.25 - 1e-4


@torch.no_grad()
def test_an_end_must_be_a_special_token_for_the_model_too(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARGIN", 0.0)  # no step is a tie
    answer = greedy(model, 3)
    last = answer.tokens.pop()
    answer.top.pop()
    stopped = Continuation(answer.tokens, answer.top, is_stopped=True)
    assert _compare_steps(model, PROMPT, stopped, ends=frozenset({last})).is_equal
    assert not _compare_steps(model, PROMPT, stopped, ends=frozenset()).is_equal


def test_a_line_states_what_was_compared(model: Model) -> None:
    found = LlamaCppComparison(199, "x", 7, 2, 3, 200, 0.01234, 0.001, 200, 8)
    assert found.describe() == (
        "llama.cpp: 199 of 200 texts with equal tokens, 7 of 8 greedy continuations equal (2 up to "
        "a tie); log-probabilities differ by at most 1.2e-02, on average 1.0e-03"
    )
    del model


def test_prompts_begin_with_bos_if_the_tokenizer_adds_it() -> None:
    from upbring.data.chat.tokenizer import train_tokenizer  # noqa: PLC0415 -- only here

    tokenizer = train_tokenizer(["a b"], 300)
    assert all(prompt[0] == tokenizer.bos_token_id for prompt in probe_prompts(tokenizer))
