import copy
import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm
from transformers import PreTrainedModel

from tests.families import FAMILIES, family
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.model import fused_layers
from upbring.model.attention import ATTENTION_NAME
from upbring.model.fused_layers import (
    FusedRMSNorm,
    FusedRotary,
    apply_rotary,
    fuse,
    normalize_rms,
    unfuse,
)
from upbring.model.network import Model
from upbring.model.probe import probe_architecture
from upbring.model.score import score_tokens

TREES = [make_tree([3, 4, 5, 6], [7, 8], [9, 10, 11]), make_tree([12, 13], [14] * 9)]
# what is exchanged in two layers: norms around attention and mlp, the last one, those of heads;
# and two attentions. Gemma multiplies by 1 + w and in another order, GPT-2 has neither.
EXCHANGED = {
    "llama": (5, 2),
    "mistral": (5, 2),
    "qwen2": (5, 2),
    "qwen3": (9, 2),
    "gemma2": (0, 2),
    "gemma3": (0, 2),
    "phi3": (5, 2),
    "phi3-longrope": (5, 2),
    "phi3-partial": (5, 2),
    "gpt2": (0, 0),
    "olmo2": (0, 2),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def gradients(out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, inputs, drawn(*out.shape, seed=9).to(out.dtype))


def test_a_norm_and_its_gradients_are_those_of_torch_in_float64() -> None:
    x, w = drawn(2, 3, 8), drawn(8, seed=1)
    exact = x.double(), w.double()
    ours: Tensor = FusedRMSNorm.apply(x, w, 0.01)
    theirs = rms_norm(exact[0], (8,), exact[1], 0.01)
    assert torch.allclose(ours.double(), theirs, atol=1e-6)
    for mine, other in zip(gradients(ours, x, w), gradients(theirs, x, w), strict=True):
        assert torch.allclose(mine, other, atol=2e-6)


def test_a_norm_in_bfloat16_is_computed_in_float32_and_rounded() -> None:
    x, w = drawn(4, 64).bfloat16(), drawn(64, seed=1).bfloat16()
    theirs = w * rms_norm(x.float(), (64,), None, 1e-6).bfloat16()
    assert torch.equal(normalize_rms(x, w, 1e-6)[0], theirs)


@pytest.mark.parametrize("learns", [(True, False), (False, True)])
def test_only_gradients_that_are_asked_for_are_computed(learns: tuple[bool, bool]) -> None:
    x, w = (each.detach() for each in (drawn(2, 8), drawn(8, seed=1)))
    context = SimpleNamespace(
        saved_tensors=(x, w, normalize_rms(x, w, 0.1)[1]), needs_input_grad=(*learns, False)
    )
    found = FusedRMSNorm.backward(context, x)  # type: ignore[no-untyped-call]
    assert [each is not None for each in found] == [*learns, False]


def test_positions_turn_pairs_of_numbers_as_complex_ones() -> None:
    q, k = drawn(1, 2, 5, 6), drawn(1, 1, 5, 6, seed=1)
    angles = torch.outer(torch.arange(5.0), torch.tensor([1.0, 0.1, 0.01]))  # [T, K/2]
    both = angles.repeat(1, 2)[None, None]
    turned_q, turned_k = FusedRotary.apply(q, k, both.cos(), both.sin())
    for x, found in ((q, turned_q), (k, turned_k)):
        number = torch.complex(x[..., :3], x[..., 3:]) * torch.polar(torch.ones(5, 3), angles)
        assert torch.allclose(found, torch.cat((number.real, number.imag), -1), atol=1e-6)
    asked = drawn(1, 2, 5, 6, seed=2).detach()
    (of_q,) = torch.autograd.grad(turned_q, q, asked)
    back, _ = apply_rotary(asked, asked[:, :1], both.cos(), -both.sin())
    assert torch.allclose(of_q, back)


def exchanged(network: nn.Module) -> tuple[int, int]:
    own = [type(m).forward.__name__ for m in network.modules() if hasattr(type(m), "written")]
    return own.count("_fused_norm_forward"), own.count("forward")


def prepared(name: str) -> PreTrainedModel:
    network = family(name, attention=ATTENTION_NAME)
    generator = torch.Generator().manual_seed(1)
    for weight in network.parameters():  # norms begin with ones, or with zeros
        if weight.ndim == 1:
            weight.data += torch.randn(weight.shape, generator=generator) / 5
    return network


def learned(model: Model) -> tuple[Tensor, Tensor]:
    """Return log-probabilities, and all gradients of their sum."""
    model.network.zero_grad()
    logprobs = score_tokens(model, make_batch(TREES)).logprobs
    logprobs.sum().backward()
    every = [w.grad.flatten() for w in model.network.parameters() if w.grad is not None]
    return logprobs.detach(), torch.cat(every).float()


@pytest.mark.parametrize("few", [0, 128])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_computes_what_it_did_and_its_gradients(
    name: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_layers, "SHORT_LENGTH", few)
    model = Model(prepared(name))
    before, slope = learned(model)
    fuse(model.network)
    assert exchanged(model.network) == EXCHANGED[name]
    after, new_slope = learned(model)
    with torch.no_grad():
        assert torch.equal(score_tokens(model, make_batch(TREES)).logprobs, after)  # the same bits
    unfuse(model.network)
    assert exchanged(model.network) == (0, 0)
    assert torch.equal(learned(model)[0], before)
    assert torch.allclose(after, before, atol=2e-5)
    assert float((new_slope - slope).norm() / slope.norm()) < 1e-5


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "phi3-partial"])
def test_in_bfloat16_it_is_as_near_to_float32(name: str, stored: torch.dtype) -> None:
    network = prepared(name)
    exact, exact_slope = learned(Model(network))
    model = Model(network.to(stored), torch.bfloat16)
    errors = []
    for change in (unfuse, fuse):
        change(network)
        found, slope = learned(model)
        errors.append((found - exact).norm() / exact.norm())
        errors.append((slope - exact_slope).norm() / exact_slope.norm())
    assert float(errors[2]) < 1.5 * float(errors[0])
    assert float(errors[3]) < 1.5 * float(errors[1])


def test_sines_need_not_be_alike_in_both_halves() -> None:
    q, k = drawn(1, 1, 3, 4), drawn(1, 1, 3, 4, seed=1)
    cos, sin = drawn(1, 1, 3, 4, seed=2).detach(), drawn(1, 1, 3, 4, seed=3).detach()

    def plainly(x: Tensor) -> Tensor:
        return x * cos + torch.cat((-x[..., 2:], x[..., :2]), -1) * sin

    for mine, other in zip(
        FusedRotary.apply(q, k, cos, sin), (plainly(q), plainly(k)), strict=True
    ):
        assert torch.allclose(mine, other, atol=1e-6)
    (of_q,) = gradients(FusedRotary.apply(q, k, cos, sin)[0], q)
    (expected,) = gradients(plainly(q), q)
    assert torch.allclose(of_q, expected, atol=1e-6)


def test_a_network_that_is_let_go_is_freed_at_once() -> None:
    network = prepared("llama")
    fuse(network)
    alive = [weakref.ref(weight) for weight in network.parameters()]
    gc.disable()
    try:
        del network
        assert all(each() is None for each in alive)
    finally:
        gc.enable()


def test_a_layer_of_another_kind_is_not_even_tried() -> None:
    class Odd(nn.Module):
        def forward(self, *_: object) -> Tensor:
            raise AssertionError("was asked")

    layers = nn.Sequential(Odd())
    fuse(layers)
    assert type(layers[0]) is Odd


def test_a_copy_is_a_network_of_its_own() -> None:
    network = prepared("llama")
    fuse(network)
    other = copy.deepcopy(network)
    for weight in other.parameters():
        weight.data *= 2
    assert not torch.equal(learned(Model(network))[0], learned(Model(other))[0])


def test_a_family_on_which_it_fails_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    network = family("llama")
    fuse(network)  # it agreed when it was tried
    monkeypatch.setattr(fused_layers, "apply_rotary", lambda q, k, *_: (q * 2.0, k))
    assert probe_architecture(Model(network), log=lambda _: None).is_packed
    assert exchanged(network) == (0, 0)
