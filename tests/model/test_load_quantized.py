"""Networks with 4- and 8-bit weights, against transformers with bitsandbytes."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from tests import small, tolerances
from tests.families import FAMILIES, family
from tests.plain import random_trees
from tests.quantization import needs_bitsandbytes
from upbring import durable
from upbring.data.trees.batch import make_batch
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.model.load import LoadedModel, load
from upbring.model.load_quantized import (
    BYTES_BETWEEN_TRIMS,
    QUANTIZATION_EXTRA,
    HeapGaps,
    check_quantization,
    import_bitsandbytes,
    quantize_meta_network,
    reading_bytes,
    stored_tensors,
)
from upbring.model.quantized import Quantization, num_weights, quantized_layers, weight_bytes
from upbring.model.score import score_tokens
from upbring.settings.model import AdapterSettings
from upbring.train.devices import retain_freed_memory

CPU = torch.device("cpu")
TREES = random_trees(320, [(3, (5,)), (7, (4, 6))])


def quantized(folder: Path, quantization: Quantization) -> LoadedModel:
    return load(
        str(folder),
        device=CPU,
        compute_dtype=torch.float32,
        quantization=quantization,
        log=lambda _: None,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # widths of whole blocks: others bitsandbytes' own kernel for AVX-512 computes wrongly
    folder = tmp_path_factory.mktemp("m") / "m"
    return small.make_model(folder, hidden_size=64, intermediate_size=128)


@needs_bitsandbytes
def test_packed_trees_score_as_plain_transformers_with_bitsandbytes(folder: Path) -> None:
    loaded = quantized(folder, "nf4")
    assert len(list(quantized_layers(loaded.model.network))) == 2 * 7
    assert loaded.model.is_packed
    network = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        device_map={"": "cpu"},
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        ),
    ).train()  # without dropout; in evaluation it may compute in bfloat16 whatever was asked
    with torch.no_grad():
        found = score_tokens(loaded.model, make_batch(TREES)).logprobs
        expected = []
        for tree in TREES:
            for branch in tree.branches:
                tokens = torch.tensor([[*tree.prompt.tolist(), *branch.tokens.tolist()]])
                logprobs = network(input_ids=tokens).logits[0].log_softmax(-1)
                targets = tokens[0, len(tree.prompt) :]
                rows = logprobs[len(tree.prompt) - 1 : -1]
                expected.append(rows.gather(-1, targets[:, None]).squeeze(-1))
    assert torch.allclose(found, torch.cat(expected), atol=tolerances.LOGPROBS)


@needs_bitsandbytes
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("name", [n for n in FAMILIES if n in {"llama", "gpt2", "gemma2"}])
def test_every_family_is_packed_as_its_own_dense_weights(
    tmp_path: Path, name: str, quantization: Quantization
) -> None:
    original = family(name)
    original.save_pretrained(tmp_path)
    total = num_weights(original)
    loaded = quantized(tmp_path, quantization)  # the probe compares packed with plain
    assert loaded.model.is_packed
    assert num_weights(loaded.model.network) == total
    bound = 0.15 if quantization == "nf4" else 0.015
    for layer_name, layer in quantized_layers(loaded.model.network):
        module = original.get_submodule(layer_name)
        dense = module.weight.t() if isinstance(module, Conv1D) else module.weight
        difference = (layer.weight - dense).norm() / dense.norm()
        assert difference < bound, f"{layer_name}: {difference}"


@needs_bitsandbytes
def test_shards_are_read_by_their_index_and_only_when_a_tensor_is_used(
    folder: Path, tmp_path: Path
) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    halves = (names[::2], names[1::2])
    for file in folder.iterdir():
        if file.name not in {"model.safetensors", "manifest.json"}:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weight_map = {}
    for number, half in enumerate(halves, 1):
        file_name = f"model-{number:05}-of-00002.safetensors"
        save_file({n: tensors[n] for n in half}, tmp_path / file_name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(half, file_name)
    index = {"metadata": {}, "weight_map": weight_map}
    (tmp_path / "model.safetensors.index.json").write_text(str(index).replace("'", '"'))
    found = dict(stored_tensors(tmp_path))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[n][...], tensors[n]) for n in names)
    whole, sharded = quantized(folder, "nf4"), quantized(tmp_path, "nf4")
    for (_, one), (_, other) in zip(
        quantized_layers(whole.model.network), quantized_layers(sharded.model.network), strict=True
    ):
        assert torch.equal(one.weight, other.weight)


def test_gaps_are_returned_to_the_system_after_many_bytes() -> None:
    if not retain_freed_memory():
        return
    kept = [torch.ones(13_000 + i) for i in range(2_000)][::2]  # the other half is free gaps
    before, gaps = durable.process_memory_bytes(), HeapGaps()
    gaps.after_reading(BYTES_BETWEEN_TRIMS)
    assert before - durable.process_memory_bytes() < 2**20
    gaps.after_reading(1)
    assert before - durable.process_memory_bytes() > 20 * 2**20
    assert gaps.num_bytes == 0
    assert all(bool((each == 1).all()) for each in kept)


@needs_bitsandbytes
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_without_data_has_the_bytes_of_a_loaded_one(
    tmp_path: Path, quantization: Quantization, dtype: torch.dtype
) -> None:
    folder = small.make_model(tmp_path / "half", dtype=torch.bfloat16)
    loaded = load(
        str(folder), device=CPU, compute_dtype=dtype, quantization=quantization, log=lambda _: None
    )
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(loaded.model.network.config, dtype=dtype)
    quantize_meta_network(network, quantization, dtype)
    assert weight_bytes(network) == weight_bytes(loaded.model.network)


@needs_bitsandbytes
def test_roles_share_the_quantized_base_and_a_merged_one_moves_it(folder: Path) -> None:
    loaded = quantized(folder, "nf4")
    batch = make_batch(TREES)
    with torch.no_grad():
        base = score_tokens(loaded.model, batch).logprobs
        loaded.roles.add_adapter("policy", AdapterSettings(rank=4), seed=0)
        for name, parameter in loaded.roles.parameters("policy").items():
            if "lora_B" in name:
                noise = counter_rng.make_generator(1, name)
                parameter.normal_(0, 0.05, generator=noise)
        assert torch.equal(score_tokens(loaded.model, batch).logprobs, base)
        with loaded.roles.active("policy"):
            policy = score_tokens(loaded.model, batch).logprobs
        assert (policy - base).abs().max() > 0.01
        assert loaded.roles.merge("policy") == 0.0
        merged = score_tokens(loaded.model, batch).logprobs
    assert torch.allclose(merged, policy, atol=tolerances.LOGPROBS)


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_without_the_extra_it_is_named() -> None:
    with pytest.raises(InputError, match="pip install"):
        import_bitsandbytes("nf4")


def test_the_message_without_the_extra_names_it_and_the_way_out() -> None:
    text = QUANTIZATION_EXTRA.format(name="nf4")
    assert 'pip install "upbring[quantization]"' in text
    assert "--quantization none" in text


class Stage:
    """The settings of a stage that quantization depends on."""

    def __init__(self, tune: str = "lora", *, dora: bool = False) -> None:
        self.tune, self.dora = tune, dora


@pytest.mark.parametrize(
    ("stage", "expected"),
    [(Stage("full"), "use --tune lora"), (Stage(dora=True), "leave out dora")],
)
def test_what_cannot_be_trained_on_few_bits_is_rejected(stage: Stage, expected: str) -> None:
    check_quantization(None, stage)
    with pytest.raises(InputError, match=expected):
        check_quantization("nf4", stage)


def test_reading_copies_only_what_is_quantized_several_times(tmp_path: Path) -> None:
    layer = torch.zeros(8, 4, dtype=torch.bfloat16)
    save_file({"layer": layer, "head": layer.new_zeros(100, 4)}, tmp_path / "model.safetensors")
    assert reading_bytes(tmp_path, vocabulary=100) == 100 * 4 * 2
    assert reading_bytes(tmp_path, vocabulary=101) == 6 * 100 * 4 * 2
    save_file({"layer": layer, "head": torch.zeros(10, 4)}, tmp_path / "model.safetensors")
    assert reading_bytes(tmp_path, vocabulary=10) == 6 * 8 * 4 * 2
