from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from tests.families import FAMILIES, VOCABULARY, family
from upbring.data.batch import make_batch
from upbring.data.trees import tree
from upbring.model.attention import NAME
from upbring.model.fused import Normalised, Turned, fuse, normal, turned, unfuse
from upbring.model.network import Model
from upbring.model.probe import probed
from upbring.model.score import score

TREES = [tree([3, 4, 5, 6], [7, 8], [9, 10, 11]), tree([12, 13], [14] * 9)]
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
    ours: Tensor = Normalised.apply(x, w, 0.01)
    theirs = rms_norm(exact[0], (8,), exact[1], 0.01)
    assert torch.allclose(ours.double(), theirs, atol=1e-6)
    for mine, other in zip(gradients(ours, x, w), gradients(theirs, x, w), strict=True):
        assert torch.allclose(mine, other, atol=2e-6)


def test_a_norm_in_bfloat16_is_computed_in_float32_and_rounded() -> None:
    x, w = drawn(4, 64).bfloat16(), drawn(64, seed=1).bfloat16()
    theirs = w * rms_norm(x.float(), (64,), None, 1e-6).bfloat16()
    assert torch.equal(normal(x, w, 1e-6)[0], theirs)


@pytest.mark.parametrize("learns", [(True, False), (False, True)])
def test_only_gradients_that_are_asked_for_are_computed(learns: tuple[bool, bool]) -> None:
    x, w = (each.detach() for each in (drawn(2, 8), drawn(8, seed=1)))
    context = SimpleNamespace(
        saved_tensors=(x, w, normal(x, w, 0.1)[1]), needs_input_grad=(*learns, False)
    )
    found = Normalised.backward(context, x)  # type: ignore[no-untyped-call]
    assert [each is not None for each in found] == [*learns, False]


def test_positions_turn_pairs_of_numbers_as_complex_ones() -> None:
    q, k = drawn(1, 2, 5, 6), drawn(1, 1, 5, 6, seed=1)
    angles = torch.outer(torch.arange(5.0), torch.tensor([1.0, 0.1, 0.01]))  # [T, K/2]
    both = angles.repeat(1, 2)[None, None]
    turned_q, turned_k = Turned.apply(q, k, both.cos(), both.sin())
    for x, found in ((q, turned_q), (k, turned_k)):
        number = torch.complex(x[..., :3], x[..., 3:]) * torch.polar(torch.ones(5, 3), angles)
        assert torch.allclose(found, torch.cat((number.real, number.imag), -1), atol=1e-6)
    asked = drawn(1, 2, 5, 6, seed=2).detach()
    (of_q,) = torch.autograd.grad(turned_q, q, asked)
    back, _ = turned(asked, asked[:, :1], both.cos(), (-both).sin())
    assert torch.allclose(of_q, back)


def exchanged(network: nn.Module) -> tuple[int, int]:
    own = [vars(m)["forward"].__name__ for m in network.modules() if "forward" in vars(m)]
    return own.count("_normalised"), own.count("forward")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_computes_what_it_did_and_its_gradients(name: str) -> None:
    network = family(name).train(mode=False)
    network.set_attn_implementation(NAME)
    generator = torch.Generator().manual_seed(1)
    for weight in network.parameters():  # norms begin with ones, or with zeros
        if weight.ndim == 1:
            weight.data += torch.randn(weight.shape, generator=generator) / 5
    batch = make_batch(TREES)
    model = Model(network)

    def learned() -> tuple[Tensor, Tensor]:
        network.zero_grad()
        logprobs = score(model, batch).logprobs
        logprobs.sum().backward()
        every = [w.grad.flatten() for w in network.parameters() if w.grad is not None]
        return logprobs.detach(), torch.cat(every)

    before, slope = learned()
    fuse(network)
    assert exchanged(network) == EXCHANGED[name]
    after, new_slope = learned()
    with torch.no_grad():
        plain = score(model, batch).logprobs
    unfuse(network)
    assert exchanged(network) == (0, 0)
    assert torch.allclose(after, before, atol=2e-5)
    assert torch.allclose(plain, after, atol=1e-6)
    assert float((new_slope - slope).norm() / slope.norm()) < 1e-5


def test_a_family_on_which_it_fails_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    network = family("llama")
    wrong = torch.full((VOCABULARY,), 2.0)
    monkeypatch.setattr("upbring.model.fused.turned", lambda q, k, *_: (q * wrong[0], k))
    monkeypatch.setattr("upbring.model.fused._turns", lambda _: True)
    assert probed(Model(network), notice=lambda _: None).is_packed
    assert exchanged(network) == (0, 0)
