"""Responses from a decoder's copy of the weights are those of the network with its adapter."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from tests import tolerances
from tests.families import FAMILIES, VOCABULARY, family
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.maths import counter_rng
from upbring.model import decoder, sampling
from upbring.model.attention import ATTENTION_NAME
from upbring.model.decoder import make_decoder
from upbring.model.network import Model
from upbring.model.roles import Roles
from upbring.model.sampling import Request, Response, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.settings.model import AdapterSettings
from upbring.settings.sampling import SampleSettings

KNOWN = [name for name in FAMILIES if name in {"llama", "mistral", "qwen2", "qwen3", "gemma3"}]
LONG = SampleSettings(temperature=1.0, max_tokens=24)
assert LONG.max_tokens >= sampling.MIN_DECODER_TOKENS


def adapted(name: str, dtype: torch.dtype = torch.float32, *, dora: bool = False) -> Model:
    """Return a model whose only adapter is active for good and changes every layer."""
    network = family(name, attention=ATTENTION_NAME)
    roles = Roles(network)
    roles.add_adapter("policy", AdapterSettings(rank=3, dora=dora), seed=0)
    generator = counter_rng.make_generator("adapter")
    for parameter in roles.parameters("policy").values():
        with torch.no_grad():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    roles._activate("policy")  # for good: no test needs another role
    return Model(network, dtype)


def requests() -> list[Request]:
    return [
        Request(
            counter_rng.permutation(counter_rng.key(i), VOCABULARY)[:length].tolist(),
            tuple(counter_rng.key(0, i, s) for s in range(2)),
        )
        for i, length in enumerate((3, 12, 7))
    ]


def scored(model: Model, responses: list[Response]) -> torch.Tensor:
    prompts = requests()
    batch = make_batch([make_tree(prompts[r.request_index].prompt, r.tokens) for r in responses])
    with torch.no_grad():
        return score_tokens(model, batch).logprobs


def sampled(responses: list[Response]) -> torch.Tensor:
    return torch.tensor([value for response in responses for value in response.logprobs])


@contextmanager
def without_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "MIN_DECODER_TOKENS", 10_000)
        yield


def test_the_known_families_are_tested() -> None:
    assert len(KNOWN) >= 4


@pytest.mark.parametrize("name", KNOWN)
def test_logprobs_are_those_of_score_with_the_adapter(name: str) -> None:
    model = adapted(name)
    assert make_decoder(model, num_rows=4) is not None
    responses = sample(model, requests(), LONG, stopping=StopConditions(), num_slots=4)
    assert (scored(model, responses) - sampled(responses)).abs().max() < tolerances.SAMPLED


@pytest.mark.parametrize("name", KNOWN)
def test_the_same_tokens_are_sampled_without_a_decoder(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = adapted(name)
    fast = sample(model, requests(), LONG, stopping=StopConditions())
    with without_decoder(monkeypatch):
        slow = sample(model, requests(), LONG, stopping=StopConditions())
    assert [each.tokens for each in fast] == [each.tokens for each in slow]


@pytest.mark.parametrize("name", KNOWN)
def test_in_bfloat16_folding_costs_no_more_than_bfloat16_itself(name: str) -> None:
    """The error against float32 is at most about that of the plain modules in bfloat16."""
    exact, rounded = adapted(name), adapted(name, torch.bfloat16)
    responses = sample(rounded, requests(), LONG, stopping=StopConditions())
    reference = scored(exact, responses)
    plain_error = (scored(rounded, responses) - reference).abs().mean()
    assert (sampled(responses) - reference).abs().mean() < 2 * plain_error


def test_a_dora_adapter_and_little_memory_take_the_slow_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert make_decoder(adapted("llama", dora=True), num_rows=1) is None
    model = adapted("llama")
    assert make_decoder(model, num_rows=1) is not None
    monkeypatch.setattr(decoder, "MAX_MEMORY_SHARE", 1e-9)
    assert make_decoder(model, num_rows=1) is None


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(KNOWN)))
def test_other_families_have_no_decoder(name: str) -> None:
    assert make_decoder(Model(family(name, attention=ATTENTION_NAME)), num_rows=1) is None
