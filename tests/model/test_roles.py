import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from peft import LoraConfig
from torch import Tensor

from tests import tolerances
from tests.families import FAMILIES, VOCABULARY, family
from tests.plain import random_trees
from upbring.data.trees.batch import make_batch
from upbring.errors import InputError
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.roles import BASE, Roles, sum_factors
from upbring.model.score import score_tokens
from upbring.settings.model import AdapterSettings

BATCH = make_batch(random_trees(VOCABULARY, [(3, (5,)), (7, (4, 6))]))
LORA = AdapterSettings(rank=4)


def stage(name: str = "llama", *, roles: tuple[str, ...] = ("policy",)) -> tuple[Model, Roles]:
    network = family(name, attention=ATTENTION_NAME)
    held = Roles(network)
    for seed, role in enumerate(roles):
        held.add_adapter(role, LORA, seed=seed)
        shake(held, role)
    return Model(network), held


@torch.no_grad()
def shake(roles: Roles, role: str) -> None:
    """Give B nonzero values, as training would."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in roles.parameters(role).items():
        if "lora_B" in name:
            parameter.normal_(0, 0.05, generator=generator)


@torch.no_grad()
def logprobs_of(model: Model, roles: Roles, role: str) -> Tensor:
    with roles.active(role):
        return score_tokens(model, BATCH).logprobs


@pytest.mark.parametrize("name", FAMILIES)
def test_an_adapter_starts_as_the_base_and_disabled_it_is_the_base(name: str) -> None:
    bare = family(name, attention=ATTENTION_NAME)
    Roles(bare)  # nothing is trainable
    before = score_tokens(Model(bare), BATCH).logprobs
    model, roles = stage(name, roles=())
    roles.add_adapter("policy", LORA, seed=0)
    assert torch.equal(logprobs_of(model, roles, "policy"), before)
    shake(roles, "policy")
    assert torch.equal(logprobs_of(model, roles, BASE), before)
    assert not torch.equal(logprobs_of(model, roles, "policy"), before)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_a_joint_backward_of_two_roles_equals_separate_ones(
    name: str, *, is_checkpointed: bool
) -> None:
    model, roles = stage(name, roles=("policy", "value"))
    trainable = [*roles.parameters("policy").values(), *roles.parameters("value").values()]

    def gradient(backward: Callable[[], None]) -> Tensor:
        model.network.zero_grad()
        backward()
        return torch.cat([p.grad.flatten() for p in trainable if p.grad is not None])

    def loss(role: str) -> Tensor:
        with roles.active(role):
            return score_tokens(model, BATCH).logprobs.sum() * (1 if role == "policy" else 2)

    def separately() -> None:
        for role in ("policy", "value"):
            loss(role).backward()

    separate = gradient(separately)
    if is_checkpointed:
        roles.enable_gradient_checkpointing()

    def jointly() -> None:
        (loss("policy") + loss("value")).backward()

    joint = gradient(jointly)
    assert len(joint) == sum(p.numel() for p in trainable)
    assert (joint - separate).norm() / separate.norm() < tolerances.ACCUMULATED


@pytest.mark.parametrize("name", FAMILIES)
def test_after_merging_an_adapter_the_base_computes_the_same(name: str) -> None:
    model, roles = stage(name, roles=("policy", "reward"))
    policy, reward = logprobs_of(model, roles, "policy"), logprobs_of(model, roles, "reward")
    folded = roles.factors("policy")
    assert roles.merge("policy") == 0  # float32 into float32 adds no rounding
    assert torch.allclose(logprobs_of(model, roles, BASE), policy, atol=tolerances.LOGPROBS)
    # the reward adapter belongs to the old base; with −Δ appended it computes the same as before
    moved = sum_factors(roles.factors("reward"), folded, signs=(1.0, -1.0))
    roles.add_factors("moved", moved)
    assert torch.allclose(logprobs_of(model, roles, "moved"), reward, atol=tolerances.LOGPROBS)


def test_without_roles_the_network_is_unchanged() -> None:
    before = set(family("llama").state_dict())
    model, roles = stage(roles=("policy", "value"))
    roles.remove("value")
    roles.merge("policy")
    assert set(model.network.state_dict()) == before


def test_merging_into_bfloat16_reports_its_rounding() -> None:
    network = family("llama", attention=ATTENTION_NAME).to(torch.bfloat16)
    roles = Roles(network)
    roles.add_adapter("policy", LORA, seed=0)
    shake(roles, "policy")
    assert 0 < roles.merge("policy") < 0.01


def test_adapters_are_trained_in_float32_and_the_base_is_frozen() -> None:
    network = family("llama", attention=ATTENTION_NAME).to(torch.bfloat16)
    roles = Roles(network)
    roles.add_adapter("policy", LORA, seed=0)
    trainable = {n for n, p in network.named_parameters() if p.requires_grad}
    assert trainable == set(roles.parameters("policy"))
    assert {p.dtype for p in roles.parameters("policy").values()} == {torch.float32}


def test_the_seed_decides_the_adapter() -> None:
    def first(seed: int) -> Tensor:
        roles = Roles(family("llama", attention=ATTENTION_NAME))
        roles.add_adapter("policy", LORA, seed=seed)
        return next(iter(roles.parameters("policy").values())).detach()

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


def test_the_number_of_trained_weights_is_by_formula() -> None:
    # Σ r (in + out) over q, k, v, o, gate, up, down of 2 layers: width 32, kv 16, mlp 48, r = 4
    per_layer = 4 * ((32 + 32) + 2 * (32 + 16) + (32 + 32) + 2 * (32 + 48) + (48 + 32))
    _, roles = stage()
    assert sum(p.numel() for p in roles.parameters("policy").values()) == 2 * per_layer


@pytest.mark.parametrize(
    "change", [{"rslora": True}, {"dora": True}, {"target_modules": "q_proj,v_proj"}]
)
def test_variants_start_as_the_base_and_can_be_merged(change: dict[str, object]) -> None:
    network = family("llama", attention=ATTENTION_NAME)
    model, roles = Model(network), Roles(network)
    before = score_tokens(model, BATCH).logprobs
    roles.add_adapter("policy", AdapterSettings(rank=4, **change), seed=0)
    assert torch.allclose(logprobs_of(model, roles, "policy"), before, atol=tolerances.LOGPROBS)
    shake(roles, "policy")
    adapted = logprobs_of(model, roles, "policy")
    roles.merge("policy")
    assert torch.allclose(logprobs_of(model, roles, BASE), adapted, atol=tolerances.LOGPROBS)


def test_a_layer_that_is_not_there_is_named() -> None:
    roles = Roles(family("llama", attention=ATTENTION_NAME))
    with pytest.raises(InputError, match=r"'q_prj' is not a linear layer .*; choose from down"):
        roles.add_adapter("policy", AdapterSettings(target_modules="q_prj"), seed=0)


def test_the_active_role_is_per_thread() -> None:
    model, roles = stage()
    alone = {role: logprobs_of(model, roles, role) for role in ("policy", BASE)}
    barrier = threading.Barrier(2, timeout=20)

    def both(role: str) -> list[Tensor]:
        with roles.active(role):
            barrier.wait()  # now both roles are active
            found = [score_tokens(model, BATCH).logprobs.detach() for _ in range(3)]
            barrier.wait()
        assert roles.active_role == BASE
        return found

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(alone, pool.map(both, alone), strict=True))
    for role, values in found.items():
        assert all(torch.allclose(each, alone[role], atol=1e-5) for each in values)


def test_an_adapter_of_anything_but_linear_layers_is_refused_by_name() -> None:
    roles = Roles(family("llama", attention=ATTENTION_NAME))
    config = LoraConfig(r=2, target_modules=["embed_tokens"], task_type="CAUSAL_LM")
    with pytest.raises(InputError, match=r"embed_tokens is not a linear layer"):
        roles._inject("policy", config)
