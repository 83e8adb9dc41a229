from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import (
    DiffLlamaConfig,
    FalconConfig,
    PhimoeConfig,
    PretrainedConfig,
)

from tests import tolerances
from tests.families import FAMILIES, SHAPE, VOCABULARY, family, random_network
from tests.plain import plain_logprobs, random_trees
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import InputError
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.probe import probe_architecture, probe_gradient_checkpointing
from upbring.model.roles import Roles
from upbring.model.sampling import Request, StopConditions, sample
from upbring.model.score import score_tokens
from upbring.settings.model import AdapterSettings
from upbring.settings.sampling import SampleSettings


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_passes(name: str) -> None:
    messages: list[str] = []
    model = probe_architecture(Model(family(name)), log=messages.append)
    assert model.is_packed
    assert not messages
    assert model.network.config._attn_implementation == ATTENTION_NAME


def test_a_family_that_mixes_neighboring_trees_takes_the_slow_path_and_reports_it() -> None:
    network = family("llama")
    layer = network.model.layers[0].self_attn.q_proj

    class Mixing(nn.Module):
        """A convolution over the row, which mixes neighboring trees."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return layer(x + x.roll(1, dims=1) * (torch.arange(x.shape[1]) > 0)[None, :, None])

    network.model.layers[0].self_attn.q_proj = Mixing()
    messages: list[str] = []
    model = probe_architecture(Model(network), log=messages.append)
    assert not model.is_packed
    assert "packed trees are not supported" in messages[0]


def test_a_family_with_other_logits_is_refused() -> None:
    network = family("llama")
    head = network.lm_head
    own = type(network).forward

    class Scaling(type(network)):  # type: ignore[misc] -- a class made for this test
        def forward(self, *arguments: object, **keywords: object) -> object:
            out = own(self, *arguments, **keywords)
            out.logits = out.logits * 3
            return out

    network.__class__ = Scaling
    assert network.lm_head is head
    with pytest.raises(InputError, match="this architecture is not supported"):
        probe_architecture(Model(network), log=lambda _: None)


def test_bfloat16_is_probed_within_its_rounding() -> None:
    network = family("gemma2").to(torch.bfloat16)
    assert probe_architecture(Model(network, torch.bfloat16), log=lambda _: None).is_packed


def phimoe() -> PhimoeConfig:
    return PhimoeConfig(
        **SHAPE, num_local_experts=4, num_experts_per_tok=2, router_jitter_noise=0.3
    )


def test_a_router_keeps_its_threshold_at_evaluation() -> None:
    """PhiMoE calls it jitter, and it decides which experts count."""
    network = random_network(phimoe())
    trees = random_trees(VOCABULARY, [(7, (4, 6)), (5, (8,))])
    with torch.no_grad():
        expected = plain_logprobs(network, trees)
        model = probe_architecture(Model(network), log=lambda _: None)
        found = score_tokens(model, make_batch(trees)).logprobs
    assert torch.allclose(found, expected, atol=tolerances.LOGPROBS)


def test_a_layer_that_attends_twice_samples_what_it_scores() -> None:
    network = random_network(DiffLlamaConfig(**SHAPE))
    model = probe_architecture(Model(network), log=lambda _: None)
    assert model.is_cached
    prompts = [list(range(3, 12)), list(range(20, 25))]
    responses = sample(
        model,
        [Request(prompt, (1, 2)) for prompt in prompts],
        SampleSettings(temperature=1.0, max_tokens=6),
        stopping=StopConditions(),
        num_slots=2,
    )
    trees = [make_tree(prompts[r.request_index], r.tokens) for r in responses]
    with torch.no_grad():
        scored = score_tokens(model, make_batch(trees)).logprobs
    sampled = torch.tensor([logprob for r in responses for logprob in r.logprobs])
    assert (sampled - scored).abs().max() < tolerances.SAMPLED


def test_sampling_that_depends_on_the_row_uses_no_cache_and_reports_it() -> None:
    network = family("llama")
    attend = network.model.layers[0].self_attn

    class LastOnly(nn.Module):
        """Adds the row's length to its input, as a cached step of one row would not."""

        def forward(self, hidden_states: torch.Tensor, **kwargs: object) -> object:
            is_decoding = hidden_states.shape[1] == 3  # one token for each of three rows
            return attend(hidden_states=hidden_states * (2 if is_decoding else 1), **kwargs)

    network.model.layers[0].self_attn = LastOnly()
    messages: list[str] = []
    model = probe_architecture(Model(network), log=messages.append)
    assert model.is_packed
    assert not model.is_cached
    assert "sampling with cached keys and values is not supported" in messages[0]


def test_a_decoder_that_does_not_know_the_layer_is_not_used_and_that_is_reported() -> None:
    network = family("llama")
    layer = network.model.layers[0].mlp
    forward = layer.forward
    layer.forward = lambda x: forward(x) * 1.1  # the decoder reads the weights only
    messages: list[str] = []
    model = probe_architecture(Model(network), log=messages.append)
    assert model.is_cached
    assert not model.has_decoder
    assert "sampling from a packed copy of the weights is not supported" in messages[0]


def falcon() -> FalconConfig:
    return FalconConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_dropout=0.4,
        attention_dropout=0.4,
    )


@pytest.mark.parametrize("config", [phimoe, falcon])
def test_recomputed_layers_have_no_dropout(config: Callable[[], PretrainedConfig]) -> None:
    network = random_network(config())
    model, roles = probe_architecture(Model(network), log=lambda _: None), Roles(network)
    roles.add_adapter("policy", AdapterSettings(rank=2), seed=0)
    batch = make_batch(random_trees(VOCABULARY, [(7, (4, 6))]))

    def gradient() -> tuple[torch.Tensor, torch.Tensor]:
        with roles.active("policy"):
            logprobs = score_tokens(model, batch).logprobs
        parameters = [p for n, p in roles.parameters("policy").items() if "lora_B" in n]
        parts = torch.autograd.grad(logprobs.sum(), parameters, allow_unused=True)
        return logprobs.detach(), torch.cat([g.flatten() for g in parts if g is not None])

    logprobs, expected = gradient()
    roles.enable_gradient_checkpointing()
    with roles.active("policy"):
        probe_gradient_checkpointing(model, roles.parameters("policy").values())
    again, found = gradient()
    assert torch.equal(again, logprobs)
    assert (found - expected).norm() <= tolerances.ACCUMULATED * expected.norm()


def test_recomputed_layers_that_change_a_value_are_refused() -> None:
    network = family("llama")
    model, roles = probe_architecture(Model(network), log=lambda _: None), Roles(network)
    roles.add_adapter("policy", AdapterSettings(rank=2), seed=0)
    roles.enable_gradient_checkpointing()
    layer = network.model.layers[0].mlp
    forward = layer.forward
    layer.forward = lambda x: forward(x) * (1.5 if torch.is_grad_enabled() else 1.0)
    with roles.active("policy"), pytest.raises(InputError, match="leave it out"):
        probe_gradient_checkpointing(model, roles.parameters("policy").values())


def test_bfloat16_may_be_as_far_from_float32_as_that_of_transformers_and_no_further() -> None:
    """An error of 0.1 nats is far above the rounding of this model."""
    network = family("llama").to(torch.bfloat16)
    layer = network.model.norm
    forward = layer.forward
    messages: list[str] = []
    model = probe_architecture(Model(network, torch.bfloat16), log=messages.append)
    assert 1e-3 <= model.rounding < 0.05

    def spoiled(x: torch.Tensor) -> torch.Tensor:
        is_packed = x.shape[1] > 29
        return forward(x) * (1.02 if is_packed and x.dtype == torch.bfloat16 else 1.0)

    layer.forward = spoiled
    network.set_attn_implementation("sdpa")
    with pytest.raises(InputError, match="use --dtype float32"):
        probe_architecture(Model(network, torch.bfloat16), log=messages.append)


def test_large_logits_may_round_as_much_as_they_do_in_transformers() -> None:
    network = family("llama")
    with torch.no_grad():
        network.lm_head.weight.mul_(3000)
    messages: list[str] = []
    model = probe_architecture(Model(network), log=messages.append)
    assert model.is_packed
    assert model.is_cached
    assert messages == []
    assert 1e-4 < model.rounding < 0.1


def test_too_little_memory_is_no_verdict_on_the_architecture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(random_network(FAMILIES["llama"]()))

    def no_memory(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr("upbring.model.probe.sample", no_memory)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        probe_architecture(model, log=lambda _: None)
