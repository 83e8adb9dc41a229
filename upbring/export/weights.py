"""Writes weights in layouts that transformers and peft load directly.

An adapter is written relative to the original full weights: adapters of earlier stages, which were
merged into the base, are concatenated with the new one. Other tools need to know nothing of stages.
"""

import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from upbring.data.chat.tokenizer_files import save_tokenizer
from upbring.export.classifier import choose_padding, make_classifier, write_padding
from upbring.model.load import ADAPTER_HEAD_NAME, LayerFactors, LoadedModel
from upbring.model.roles import BASE, Roles, sum_factors
from upbring.runs.contract import Contract, write_contract

MAX_SHARD_BYTES = 5 * 10**9


def write_adapter(
    loaded: LoadedModel,
    role: str,
    folder: Path,
    *,
    contract: Contract,
) -> None:
    """Write a PEFT adapter to `folder`: the role's, combined with those merged into its base."""
    config = loaded.roles.configs[role]
    if loaded.factors:
        factors = sum_factors(loaded.factors, loaded.roles.factors(role))
        adapter = AdapterFiles(*tensors_from_factors(factors, loaded.model.network))
    else:
        adapter = AdapterFiles(loaded.roles.adapter_tensors(role), config)
    head = loaded.roles.heads.get(role)
    base_name = str(loaded.base.resolve())
    write_adapter_files(loaded, adapter, head, folder, contract=contract, base_name=base_name)


@dataclass(frozen=True, eq=False)
class AdapterFiles:
    """The tensors and the configuration of a PEFT adapter."""

    tensors: dict[str, Tensor]
    config: LoraConfig


def write_adapter_files(
    loaded: LoadedModel,
    adapter: AdapterFiles,
    head: nn.Linear | None,
    folder: Path,
    *,
    contract: Contract,
    base_name: str,
) -> None:
    """Write an adapter with the files that accompany it; `base_name` is what it calls its base."""
    tensors = dict(adapter.tensors)
    config_values = adapter.config.to_dict() | {
        "base_model_name_or_path": base_name,
        "inference_mode": True,
    }
    if head is not None:
        tensors[ADAPTER_HEAD_NAME] = head.weight
        config_values |= {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    text = json.dumps(config_values, indent=2, sort_keys=True, default=_to_json_value)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
    save_file(
        _prepare_for_saving(tensors),
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    write_tokenizer_and_contract(loaded, folder, contract=contract)
    if head is not None and loaded.tokenizer is not None:
        pad = choose_padding(loaded.tokenizer, _stop_token_ids(contract))
        if pad.token_id < loaded.model.vocab_size:  # the base has an embedding for it
            write_padding(folder, pad)


def write_network(
    loaded: LoadedModel,
    folder: Path,
    *,
    contract: Contract,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a full transformers model to `folder`: the current base without adapters.

    Larger models are several files, listed in `model.safetensors.index.json`. If the base has a
    head, it is a reward model and is written as a classifier.
    """
    network = loaded.model.network
    dtype = dtype or next(network.parameters()).dtype
    if BASE in loaded.roles.heads:
        _write_classifier(
            loaded, folder, contract=contract, dtype=dtype, max_shard_bytes=max_shard_bytes
        )
        return
    tensors = {n: t.to(dtype) for n, t in _base_state_dict(loaded.roles, network).items()}
    network.config.dtype = dtype
    network.save_pretrained(folder, state_dict=tensors, max_shard_size=max_shard_bytes)
    write_tokenizer_and_contract(loaded, folder, contract=contract)


def _write_classifier(
    loaded: LoadedModel,
    folder: Path,
    *,
    contract: Contract,
    dtype: torch.dtype,
    max_shard_bytes: int,
) -> None:
    """Write the base and its head to `folder` as a transformers classifier with one class."""
    assert loaded.tokenizer is not None, "a reward model needs a tokenizer"
    network = loaded.model.network
    _base_state_dict(loaded.roles, network)
    pad = choose_padding(loaded.tokenizer, _stop_token_ids(contract))
    head = loaded.roles.heads[BASE].weight
    model = make_classifier(network, head, pad.token_id, dtype=dtype)
    model.save_pretrained(folder, max_shard_size=max_shard_bytes)
    write_tokenizer_and_contract(loaded, folder, contract=contract)
    write_padding(folder, pad)


def _stop_token_ids(contract: Contract) -> set[int]:
    return {stop.token for stop in contract.stops}


def write_tokenizer_and_contract(loaded: LoadedModel, folder: Path, *, contract: Contract) -> None:
    """Write the files that accompany weights: tokenizer, template, stop tokens, contract."""
    if loaded.tokenizer is not None:
        save_tokenizer(loaded.tokenizer, folder, template=contract.template)
    if contract.stops:
        generation = GenerationConfig(
            eos_token_id=[stop.token for stop in contract.stops], bos_token_id=contract.bos
        )
        generation.save_pretrained(folder)
    write_contract(folder / "contract.json", contract)


def _base_state_dict(roles: Roles, network: PreTrainedModel) -> dict[str, Tensor]:
    """Return the network's tensors under their names without adapters."""
    assert not roles.configs, f"adapters are still attached to the base: {sorted(roles.configs)}"
    return cast("dict[str, Tensor]", network.state_dict())


def tensors_from_factors(
    factors: LayerFactors, network: PreTrainedModel
) -> tuple[dict[str, Tensor], LoraConfig]:
    """Return the adapter tensors and config of a weight update given by its low-rank factors."""
    rank = next(iter(factors.values()))[0].shape[0]
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=_target_modules(factors, network),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in network.modules()),
        task_type="CAUSAL_LM",
    )
    tensors = {}
    for name, (A, B) in factors.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = A
        tensors[f"base_model.model.{name}.lora_B.weight"] = B
    return tensors, config


def _target_modules(factors: LayerFactors, network: PreTrainedModel) -> list[str]:
    """Return the last parts of the adapted names, or whole names if other layers share a part."""
    leaves = {name.rpartition(".")[2] for name in factors}
    named = {n for n, _ in network.named_modules() if n.rpartition(".")[2] in leaves}
    return sorted(leaves if named == set(factors) else factors)


def _prepare_for_saving(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _to_json_value(value: object) -> object:
    """Return a JSON-serializable form of a config value."""
    if isinstance(value, set | frozenset | tuple):
        return sorted(value)
    if isinstance(value, enum.Enum):
        return value.value
    return str(value)
