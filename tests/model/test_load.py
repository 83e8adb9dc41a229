import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests import tolerances
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import InputError
from upbring.model.load import LoadedModel, load, weights_sha256
from upbring.model.score import score_tokens

TEXT = list(range(3, 40))
CPU = torch.device("cpu")


def loaded(folder: Path, *, seed: int | None = None) -> LoadedModel:
    return load(str(folder), device=CPU, compute_dtype=torch.float32, log=lambda _: None, seed=seed)


@torch.no_grad()
def ours(model: LoadedModel) -> torch.Tensor:
    return score_tokens(model.model, make_batch([make_tree(TEXT[:1], TEXT[1:])])).logprobs


@torch.no_grad()
def theirs(network: torch.nn.Module) -> torch.Tensor:
    every = network(input_ids=torch.tensor([TEXT])).logits[0].log_softmax(-1)
    return every[:-1].gather(-1, torch.tensor(TEXT[1:])[:, None]).squeeze(-1)


def test_a_directory_is_loaded_as_transformers_loads_it(model_folder: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    assert torch.allclose(ours(loaded(model_folder)), theirs(network), atol=tolerances.LOGPROBS)


@pytest.mark.parametrize("is_dora", [False, True])
def test_a_peft_adapter_is_merged_into_its_base(
    model_folder: Path, tmp_path: Path, *, is_dora: bool
) -> None:
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "up_proj"], use_dora=is_dora)
    network = get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    network.save_pretrained(tmp_path / "adapter")
    found = loaded(tmp_path / "adapter")
    assert torch.allclose(ours(found), theirs(network), atol=tolerances.LOGPROBS)
    assert found.base == model_folder
    assert found.has_exact_factors is not is_dora


def test_a_configuration_alone_is_a_new_model_of_its_seed(
    model_folder: Path, tmp_path: Path
) -> None:
    shutil.copy(model_folder / "config.json", tmp_path)
    assert torch.equal(ours(loaded(tmp_path, seed=1)), ours(loaded(tmp_path, seed=1)))
    assert not torch.equal(ours(loaded(tmp_path, seed=1)), ours(loaded(tmp_path, seed=2)))
    with pytest.raises(InputError, match="pre-train it first with `upbring pretrain`"):
        loaded(tmp_path)


def test_weights_have_one_hash(model_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    assert weights_sha256(copy) == weights_sha256(model_folder)
    file = copy / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert weights_sha256(copy) != weights_sha256(model_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(b"xx"), "cannot be loaded"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "is not valid JSON"),
        (lambda f: (f / "modeling_x.py").write_text(""), "the model folder contains code"),
        (
            lambda f: (f / "config.json").write_text('{"auto_map": {"AutoModel": "x.Y"}}'),
            "auto_map requests custom code",
        ),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "the weights are in a format that can run code",
        ),
    ],
)
def test_a_bad_folder_is_refused_in_one_line(
    model_folder: Path, tmp_path: Path, change: object, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    assert callable(change)
    change(copy)
    with pytest.raises(InputError, match=message) as caught:
        loaded(copy)
    assert "\n" not in str(caught.value)


def test_an_adapter_without_a_matching_base_is_refused(model_folder: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    get_peft_model(base, LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"target_modules": ["up_proj"]}))
    with pytest.raises(InputError, match="does not match its base"):
        loaded(tmp_path)
    file.write_text(json.dumps(config | {"base_model_name_or_path": ""}))
    with pytest.raises(InputError, match="has no base_model_name_or_path"):
        loaded(tmp_path)


def test_missing_weights_are_never_randomly_initialized(model_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    file = copy / "model.safetensors"
    tensors = load_file(file)
    save_file({n: t for n, t in tensors.items() if "layers.1" not in n}, file, {"format": "pt"})
    with pytest.raises(InputError, match="9 weights are missing"):
        loaded(copy)


def test_ranks_may_differ_from_layer_to_layer(model_folder: Path, tmp_path: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    config = LoraConfig(r=3, target_modules=["q_proj", "up_proj"], rank_pattern={"q_proj": 5})
    network = get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    network.save_pretrained(tmp_path / "adapter")
    found = loaded(tmp_path / "adapter")
    assert torch.allclose(ours(found), theirs(network), atol=tolerances.LOGPROBS)
    assert {A.shape[0] for A, _ in found.factors.values()} == {5}
