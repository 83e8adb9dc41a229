import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from upbring.model.lora import ActiveAdapter, AdaptedLinear


def layer(*, has_bias: bool, dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(6, 5, bias=has_bias, dtype=dtype))
        for parameter in network.parameters():
            parameter.requires_grad = False
        config = LoraConfig(r=3, lora_alpha=7, target_modules=["0"])
        inject_adapter_in_model(config, network, adapter_name="policy")
        for parameter in (found := network[0]).parameters():
            if parameter.requires_grad:
                parameter.data = torch.randn(parameter.shape, dtype=torch.float64)
    assert type(found) is Linear
    return found


def adapted_layer(*, has_bias: bool, dtype: torch.dtype = torch.float64) -> nn.Module:
    found = layer(has_bias=has_bias, dtype=dtype)
    found.__class__ = AdaptedLinear
    found.thread_adapter = ActiveAdapter()
    found.thread_adapter.set("policy")
    return found


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6)])
def test_it_is_peft_s_layer_and_its_gradients(shape: tuple[int, ...], *, has_bias: bool) -> None:
    def outcome(*, is_ours: bool) -> list[Tensor]:
        one = (adapted_layer if is_ours else layer)(has_bias=has_bias)
        rng = torch.Generator().manual_seed(1)
        x = torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True)
        y = one(x)
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
        learned = [p.grad for p in one.parameters() if p.requires_grad]
        found = [y.detach(), x.grad, *learned]
        assert all(t is not None for t in found)
        return [t for t in found if t is not None]

    for ours, theirs in zip(outcome(is_ours=True), outcome(is_ours=False), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_outputs_with_and_without_gradients_are_equal(
    compute: torch.dtype, *, has_bias: bool
) -> None:
    one = adapted_layer(has_bias=has_bias, dtype=compute)
    for name, parameter in one.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    x = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", compute, enabled=compute != torch.float32):
        with_gradient = one(x)
        with torch.no_grad():
            without_gradient = one(x)
    assert with_gradient.requires_grad
    assert without_gradient.dtype == compute
    assert torch.equal(without_gradient, with_gradient)


def test_only_plain_lora_on_a_frozen_base_takes_the_fast_path() -> None:
    one = adapted_layer(has_bias=True)
    x = torch.randn(2, 6, dtype=torch.float64)
    one.thread_adapter.set(None)
    assert one._fast_path_adapter() is None
    assert torch.equal(one(x), one.base_layer(x))
    one.thread_adapter.set("policy")
    assert one._fast_path_adapter() == "policy"
    assert not torch.equal(one(x), one.base_layer(x))
    one.base_layer.weight.requires_grad = True
    assert one._fast_path_adapter() is None


def test_a_frozen_adapter_gets_no_gradient_and_passes_it_on() -> None:
    one = adapted_layer(has_bias=False)
    one.requires_grad_(False)  # noqa: FBT003 -- torch's types lack the keyword
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    one(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in one.parameters())


@pytest.mark.parametrize("change", ["add_", "new"])
def test_cached_factors_follow_a_change_of_the_weights(change: str) -> None:
    one = adapted_layer(has_bias=False)
    x = torch.randn(2, 6, dtype=torch.float64)
    with torch.no_grad():
        before = one(x)
        assert one.cached_factors is not None
        assert torch.equal(one(x), before)
        if change == "add_":
            one.lora_A["policy"].weight.add_(1.0)
        else:
            one.lora_A["policy"].weight = nn.Parameter(one.lora_A["policy"].weight + 1.0)
        after = one(x)
    assert not torch.allclose(after, before)
    assert torch.allclose(after, one(x).detach())  # with a gradient nothing is cached


def test_an_output_may_be_changed_in_place() -> None:
    """Llama 4 rotates its queries in place."""
    one = adapted_layer(has_bias=False)
    x = torch.randn(2, 4, 6, dtype=torch.float64)
    y = one(x).view(2, 4, 5)
    y.mul_(2)
    (doubled,) = torch.autograd.grad(y.sum(), [one.lora_B["policy"].weight])
    (plain,) = torch.autograd.grad(one(x).sum(), [one.lora_B["policy"].weight])
    assert torch.allclose(doubled, 2 * plain)
