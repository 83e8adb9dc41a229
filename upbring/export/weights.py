"""Weights in layouts that transformers and peft load as they stand.

An adapter goes out relative to the whole weights at the bottom: what earlier stages folded in is
stacked below what was learned now, so that no tool needs to know of stages.
"""

import enum
import json
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from upbring.data.chat.tokenizer_files import save_tokenizer
from upbring.export.classifier import classifier, padding, write_padding
from upbring.model.load import HEAD, Factors, Loaded
from upbring.model.roles import BASE, Roles, stacked
from upbring.runs.contract import Contract, write_contract


def write_adapter(loaded: Loaded, role: str, folder: Path, *, contract: Contract) -> None:
    """Fill `folder` with a PEFT adapter: the role's, on top of what was folded into its base."""
    config = loaded.roles.configs[role]
    if loaded.factors:
        factors = stacked(loaded.factors, loaded.roles.factors(role))
        tensors, config = _of_factors(factors, config)
    else:
        tensors = loaded.roles.adapter_tensors(role)
    described = config.to_dict() | {
        "base_model_name_or_path": str(loaded.base.resolve()),
        "inference_mode": True,
    }
    if role in loaded.roles.heads:
        tensors[HEAD] = loaded.roles.heads[role].weight
        described |= {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    text = json.dumps(described, indent=2, sort_keys=True, default=_plain)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
    save_file(_ready(tensors), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_companions(loaded, folder, contract=contract)
    if role in loaded.roles.heads and loaded.tokenizer is not None:
        pad = padding(loaded.tokenizer, _ends(contract))
        if pad.token < loaded.model.vocabulary:  # the base has an embedding for it
            write_padding(folder, pad)


def write_network(
    loaded: Loaded,
    folder: Path,
    *,
    contract: Contract,
    dtype: torch.dtype | None = None,
) -> None:
    """Fill `folder` with a whole transformers model: the base as it is now, adapters off.

    Where the base has a head of its own, it is a reward model and becomes a classifier.
    """
    network = loaded.model.network
    dtype = dtype or next(network.parameters()).dtype
    if BASE in loaded.roles.heads:
        _write_classifier(loaded, folder, contract=contract, dtype=dtype)
        return
    kept = {n: t.to(dtype) for n, t in _plain_state(loaded.roles, network).items()}
    network.config.dtype = dtype
    network.save_pretrained(folder, state_dict=kept, safe_serialization=True)
    write_companions(loaded, folder, contract=contract)


def _write_classifier(
    loaded: Loaded, folder: Path, *, contract: Contract, dtype: torch.dtype
) -> None:
    """Fill `folder` with the base and its head as transformers' classifier of one class."""
    assert loaded.tokenizer is not None, "a reward model reads dialogues"
    network = loaded.model.network
    _plain_state(loaded.roles, network)
    pad = padding(loaded.tokenizer, _ends(contract))
    head = loaded.roles.heads[BASE].weight
    classifier(network, head, pad.token, dtype=dtype).save_pretrained(folder)
    write_companions(loaded, folder, contract=contract)
    write_padding(folder, pad)


def _ends(contract: Contract) -> set[int]:
    return {stop.token for stop in contract.stops}


def write_companions(loaded: Loaded, folder: Path, *, contract: Contract) -> None:
    """Write what travels with weights: tokenizer, template, stop tokens, contract."""
    if loaded.tokenizer is not None:
        save_tokenizer(loaded.tokenizer, folder, template=contract.template)
    if contract.stops:
        generation = GenerationConfig(
            eos_token_id=[stop.token for stop in contract.stops], bos_token_id=contract.bos
        )
        generation.save_pretrained(folder)
    write_contract(folder / "contract.json", contract)


def _plain_state(roles: Roles, network: PreTrainedModel) -> dict[str, Tensor]:
    """Return the network's tensors under the names they have without adapters."""
    assert not roles.configs, f"roles are still on the base: {sorted(roles.configs)}"
    return cast("dict[str, Tensor]", network.state_dict())


def _of_factors(factors: Factors, like: LoraConfig) -> tuple[dict[str, Tensor], LoraConfig]:
    """Return adapter tensors and configuration of a Δ that is given by its factors."""
    rank = next(iter(factors.values()))[0].shape[0]
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=sorted({name.rpartition(".")[2] for name in factors}),
        fan_in_fan_out=like.fan_in_fan_out,
        task_type=like.task_type,
    )
    tensors = {}
    for name, (A, B) in factors.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = A
        tensors[f"base_model.model.{name}.lora_B.weight"] = B
    return tensors, config


def _ready(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _plain(value: object) -> object:
    """Return what JSON can hold of a configuration's value."""
    if isinstance(value, set | frozenset | tuple):
        return sorted(value)
    if isinstance(value, enum.Enum):
        return value.value
    return str(value)
