"""Which modules get an adapter, for architectures in which not every linear layer can."""

from collections.abc import Callable

import pytest
import torch
from transformers import (
    DeepseekV3Config,
    Gemma3Config,
    Gemma3TextConfig,
    Glm4MoeConfig,
    MambaConfig,
    PhimoeConfig,
    PretrainedConfig,
    SiglipVisionConfig,
)

from tests.families import FAMILIES, SHAPE, VOCABULARY, family, random_network
from upbring.errors import InputError
from upbring.model.roles import Roles
from upbring.model.target_modules import choose_target_modules
from upbring.settings.model import AdapterSettings

EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1}


def deepseek() -> PretrainedConfig:
    return DeepseekV3Config(
        **SHAPE | EXPERTS | {"num_key_value_heads": 4},
        n_routed_experts=4,
        n_group=2,
        topk_group=1,
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
    )


def glm() -> PretrainedConfig:
    return Glm4MoeConfig(**SHAPE | EXPERTS, n_routed_experts=4, head_dim=8)


def mamba() -> PretrainedConfig:
    return MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=8, use_cache=False
    )


def phimoe() -> PretrainedConfig:
    return PhimoeConfig(**SHAPE, num_local_experts=4)


def gemma3_with_vision() -> PretrainedConfig:
    text = Gemma3TextConfig(**SHAPE, head_dim=8, query_pre_attn_scalar=8, sliding_window=5)
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=16,
        patch_size=8,
    )
    return Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=90
    )


@pytest.mark.parametrize(
    ("config", "adapted", "left_out"),
    [
        (
            deepseek,
            {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"},
            {"experts.gate_up_proj", "experts.down_proj", "gate", "gate_proj"},
        ),
        (glm, {"q_proj", "k_proj", "v_proj", "o_proj"}, {"experts.gate_up_proj", "gate"}),
        (mamba, {"in_proj", "x_proj", "dt_proj"}, {"out_proj", "conv1d", "mixer.A_log"}),
        (phimoe, {"q_proj", "k_proj", "v_proj", "o_proj"}, {"experts.down_proj", "router"}),
    ],
    ids=["deepseek", "glm", "mamba", "phimoe"],
)
def test_what_peft_adapts_is_adapted_and_the_rest_is_named(
    config: Callable[[], PretrainedConfig], adapted: set[str], left_out: set[str]
) -> None:
    network = random_network(config())
    roles = Roles(network)
    named = roles.add_adapter("policy", AdapterSettings(rank=2), seed=0)
    assert {name.rpartition(".")[2] for name in roles.layers} == adapted
    assert left_out <= set(named)
    with roles.active("policy"):
        logits = network(input_ids=torch.arange(3, 20)[None]).logits
    parameters = list(roles.parameters("policy").values())
    gradients = torch.autograd.grad(logits.logsumexp(-1).sum(), parameters, allow_unused=True)
    assert sum(g is not None for g in gradients) >= len(parameters) // 2


@pytest.mark.parametrize("name", FAMILIES)
def test_a_plain_model_has_nothing_left_out(name: str) -> None:
    targets = choose_target_modules(family(name), "auto")
    assert targets.left_out == []
    assert targets.excluded is None


@pytest.mark.parametrize("targets", ["auto", "q_proj,v_proj"])
def test_a_vision_tower_gets_no_adapter(targets: str) -> None:
    network = random_network(gemma3_with_vision())
    roles = Roles(network)
    roles.add_adapter("policy", AdapterSettings(rank=2, target_modules=targets), seed=0)
    assert any("vision" in name and "q_proj" in name for name, _ in network.named_modules())
    assert roles.layers
    assert not any("vision" in name or "projector" in name for name in roles.layers)


def test_a_router_that_is_asked_for_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"'router' is not a linear layer .* choose from k_proj"):
        choose_target_modules(random_network(phimoe()), "router")
