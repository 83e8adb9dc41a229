from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode
from transformers import (
    AutoModelForCausalLM,
    GptOssConfig,
    JambaConfig,
    Llama4TextConfig,
    MambaConfig,
    NemotronConfig,
    PhimoeConfig,
    PretrainedConfig,
    PreTrainedModel,
    StableLmConfig,
)

from tests import small
from tests.families import FAMILIES, SHAPE, VOCABULARY, family
from upbring.data.trees.batch import Batch, TreeSpan, make_batch
from upbring.data.trees.tree import make_tree
from upbring.model.attention import ATTENTION_NAME, AttentionConfig, TreeLayout
from upbring.model.kernels.tree_attention import clear_biases
from upbring.model.load import load
from upbring.model.network import Model, hidden_states
from upbring.model.roles import BASE, Roles
from upbring.model.score import score_hidden_states
from upbring.settings.model import AdapterSettings
from upbring.stages.planning import memory_probe
from upbring.stages.planning.estimate import MemoryProfile
from upbring.stages.planning.memory_probe import (
    ProbeConfig,
    count_adapter_parameters,
    make_meta_network,
    profile_network,
    rows_at_once,
)

CPU = torch.device("cpu")
TREES = [make_tree(range(10), [1] * 30), make_tree(range(20), [1] * 20)]
NEAR = 0.12  # of what autograd keeps; a plan may be off by 0.2


def manner(compute: torch.dtype = torch.float32, *, is_full: bool = False) -> ProbeConfig:
    return ProbeConfig(compute, AdapterSettings(rank=4), is_full, is_checkpointed=False, device=CPU)


def profile_config(config: PretrainedConfig, how: ProbeConfig) -> MemoryProfile:
    """Return the profile of a network without weights."""
    network, _ = make_meta_network(config, how, layers=None)
    return profile_network(network, how, typical=TREES[0])


def kept(network: PreTrainedModel, model: Model, batch: Batch) -> int:
    """Return the bytes that autograd keeps for the backward pass, weights not among them."""
    weights = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    found: dict[int, int] = {}
    tensors = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        tensors.append(tensor)  # kept alive, so that its memory is not reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden_states(model, batch)
    return sum(found.values())


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_activations_are_those_that_autograd_keeps(
    name: str, *, is_full: bool, compute: torch.dtype
) -> None:
    how = manner(compute, is_full=is_full)
    config = FAMILIES[name]()
    config.num_hidden_layers = 5  # two are counted
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = (config.layer_types * 3)[:5]
    network = AutoModelForCausalLM.from_config(config).to(how.weights_dtype).eval()
    network.set_attn_implementation(ATTENTION_NAME)
    roles = Roles(network)
    if is_full:
        roles.make_base_trainable()
    else:
        roles.add_adapter("policy", how.adapter, seed=0)
    batch = make_batch(TREES)
    with roles.active(BASE if is_full else "policy"):
        expected = kept(network, Model(network, compute), batch)
    shape = profile_config(config, how)
    assert shape.activations.bytes_for(batch.num_tokens) == pytest.approx(expected, rel=NEAR)
    assert shape.num_trainable == sum(p.numel() for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_weights_are_those_of_the_loaded_model(
    tmp_path: Path, *, is_full: bool, compute: torch.dtype
) -> None:
    folder = small.make_model(tmp_path / "m")
    loaded = load(
        str(folder),
        device=CPU,
        compute_dtype=compute,
        is_full_finetuning=is_full,
        log=lambda _: None,
    )
    network = loaded.model.network
    expected = sum(
        t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers())
    )
    assert profile_config(network.config, manner(compute, is_full=is_full)).weight_bytes == expected


@pytest.mark.parametrize("is_checkpointed", [False, True])
@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_small_layers_with_data_are_counted_as_those_without(
    monkeypatch: pytest.MonkeyPatch, *, is_full: bool, compute: torch.dtype, is_checkpointed: bool
) -> None:
    how = ProbeConfig(compute, AdapterSettings(rank=4), is_full, is_checkpointed, CPU)
    small = profile_config(FAMILIES["llama"](), how)
    monkeypatch.setattr(memory_probe, "MAX_REAL_PARAMETERS", 0)
    monkeypatch.setattr(memory_probe, "NUM_FAKE_ROWS", memory_probe.NUM_REAL_ROWS)
    pretended = profile_config(FAMILIES["llama"](), how)
    assert small == pretended


def test_weights_that_are_cast_do_not_grow_with_tokens() -> None:
    shape = profile_config(FAMILIES["llama"](), manner(torch.bfloat16, is_full=True))
    network = family("llama")
    layer = sum(p.numel() for p in network.model.layers[0].parameters() if p.ndim > 1)
    assert shape.layer_activations.fixed == pytest.approx(2 * layer, rel=0.01)  # bytes of bfloat16
    plain = profile_config(FAMILIES["llama"](), manner(is_full=True))
    assert plain.layer_activations.fixed == 0


def test_what_a_recomputed_layer_makes_is_counted() -> None:
    again = ProbeConfig(torch.float32, AdapterSettings(rank=4), False, True, CPU)  # noqa: FBT003 -- as declared
    config = FAMILIES["llama"]()
    before = profile_config(config, again).recomputed_per_layer.per_unit
    config.intermediate_size += 100
    # gate, up, gate's activation and their product are wider by 100 float32, and so is A of the
    # adapter after them, [4, 100], which is scaled once for 40 tokens
    expected = 4 * 100 * 4 + 4 * 100 * 4 / 40
    assert profile_config(config, again).recomputed_per_layer.per_unit == before + expected
    assert profile_config(config, manner()).recomputed_per_layer.per_unit == 0


def test_an_adapter_s_size_is_that_of_the_role() -> None:
    network = family("llama")
    roles = Roles(network)
    expected = count_adapter_parameters(network, manner(is_full=True))
    roles.add_adapter("policy", AdapterSettings(rank=4), seed=0)
    assert expected == sum(p.numel() for p in roles.parameters("policy").values())


def test_a_model_in_memory_is_counted_as_one_without_data() -> None:
    network = family("llama")
    network.set_attn_implementation(ATTENTION_NAME)
    how = manner()
    before = profile_network(network, how, typical=TREES[0])
    Roles(network).add_adapter("policy", how.adapter, seed=0)
    assert profile_network(network, how, typical=TREES[0]) == before
    assert all(p.grad is None for p in network.parameters())


def test_the_layers_are_as_many_as_were_asked_for_and_have_no_data() -> None:
    network, _ = make_meta_network(FAMILIES["gemma2"](), manner(), layers=1)
    assert network.config.num_hidden_layers == 1
    assert {p.device.type for p in network.parameters()} == {"meta"}


def test_recomputing_counts_less_and_longer_texts_more() -> None:
    plain = profile_config(FAMILIES["llama"](), manner())
    again = ProbeConfig(torch.float32, AdapterSettings(rank=4), False, True, CPU)  # noqa: FBT003 -- as declared
    assert (
        profile_config(FAMILIES["llama"](), again).activations.bytes_for(100)
        < plain.activations.bytes_for(100) / 3
    )


def test_each_copy_of_the_logits_in_memory_is_counted() -> None:
    shape = profile_config(FAMILIES["llama"](), manner(is_full=True))
    # a chunk of float32 logits: itself, its gradient and at least one more for the softmax
    assert 2 * 4 * 97 <= shape.training_logits.per_unit <= 6 * 4 * 97
    assert shape.max_logit_rows == rows_at_once(97) == 2**26 // 97
    assert shape.forward_logits.per_unit < shape.training_logits.per_unit
    network = family("llama")
    rows = torch.zeros(3, 32)
    assert score_hidden_states(
        Model(network), rows, torch.zeros(3, dtype=torch.int64)
    ).logprobs.shape == (3,)


def test_counting_leaves_no_meta_tensors_behind() -> None:
    how = manner(torch.bfloat16)
    network = family("llama").to(torch.bfloat16)
    network.set_attn_implementation(ATTENTION_NAME)
    model = Model(network, torch.bfloat16)
    before = hidden_states(model, make_batch(TREES))
    profile_config(FAMILIES["llama"](), how)
    assert torch.equal(hidden_states(model, make_batch(TREES)), before)


OTHER_LAYERS: dict[str, Callable[[], PretrainedConfig]] = {
    "stablelm": lambda: StableLmConfig(**SHAPE),
    "nemotron": lambda: NemotronConfig(**SHAPE),
    "phimoe": lambda: PhimoeConfig(**SHAPE, num_local_experts=4),
    "gpt-oss": lambda: GptOssConfig(
        **SHAPE, num_local_experts=4, num_experts_per_tok=2, head_dim=8
    ),
    "llama4": lambda: Llama4TextConfig(
        **SHAPE, intermediate_size_mlp=48, num_local_experts=4, head_dim=8
    ),
    "mamba": lambda: MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=8
    ),
    "jamba": lambda: JambaConfig(
        **SHAPE,
        num_experts=4,
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        mamba_d_state=8,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    ),
}


@pytest.mark.parametrize("name", OTHER_LAYERS)
@pytest.mark.parametrize("is_full", [False, True])
def test_layers_that_are_not_packed_are_planned_too(name: str, *, is_full: bool) -> None:
    profile = profile_config(OTHER_LAYERS[name](), manner(is_full=is_full))
    assert profile.num_layers == 2
    assert profile.layer_activations.per_unit > 0
    assert (profile.kv_cache_per_token == 0) == (name == "mamba")


def test_biases_of_tensors_without_data_are_forgotten() -> None:
    layout = TreeLayout((TreeSpan(0, 4, (2, 2)),), torch.device("cpu"))
    config = AttentionConfig(1.0, None, None)
    clear_biases()
    with FakeTensorMode():
        layout.attend(*(torch.zeros(1, 8, 4) for _ in range(3)), config)
    clear_biases()
    out = layout.attend(*(torch.ones(1, 8, 4) for _ in range(3)), config)
    assert out.tolist() == torch.ones(1, 8, 4).tolist()
