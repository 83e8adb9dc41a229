import pytest
import torch
from torch import nn

from tests.families import FAMILIES, family
from upbring.errors import InputError
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.probe import probe_architecture


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
