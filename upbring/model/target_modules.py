"""Which modules of a network get a LoRA adapter: its linear layers, as far as PEFT adapts them.

Left out are the head, routers and experts that are not plain linear layers, what PEFT refuses for
an architecture, and everything outside of the language model: texts reach no vision tower.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import _check_lora_target_modules_mamba
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from upbring.errors import InputError
from upbring.model.quantized import QuantizedLinear

LINEAR_FORWARDS = (nn.Linear.forward, Conv1D.forward, QuantizedLinear.forward)


@dataclass(frozen=True, slots=True)
class TargetModules:
    """The last name parts of the modules to adapt, and a pattern of full names to exclude."""

    names: list[str]
    excluded: str | None
    left_out: list[str]  # what has weights and no adapter, of the language model's layers


def choose_target_modules(network: PreTrainedModel, targets: str) -> TargetModules:
    """Return the modules that `targets` selects: auto, all-linear, or names with commas."""
    text_prefix = _language_model_prefix(network)
    linear = _linear_modules(network)
    plain = {
        name
        for name, module in linear.items()
        if name.startswith(text_prefix) and _is_plain_linear(module)
    }
    available = _accepted_by_peft(network, sorted({_leaf(name) for name in plain}))
    is_automatic = targets in {"auto", "all-linear"}
    if is_automatic and not available:
        raise InputError(
            f"target_modules: {type(network).__name__} has no linear layers that PEFT can adapt; "
            "use --tune full"
        )
    names = available if is_automatic else _requested_names(targets, available)
    excluded = [n for n in linear if _leaf(n) in names and n not in plain]
    adapted = {name for name in plain if _leaf(name) in names}
    return TargetModules(
        names,
        "|".join(sorted({re.sub(r"\d+", r"\\d+", re.escape(name)) for name in excluded})) or None,
        _left_out(network, adapted, text_prefix) if is_automatic else [],
    )


def _requested_names(targets: str, available: list[str]) -> list[str]:
    names = sorted({part.strip() for part in targets.split(",") if part.strip()})
    for name in names:
        if name not in available:
            raise InputError(
                f"target_modules: {name!r} is not a linear layer of this model that PEFT can "
                f"adapt; choose from {', '.join(available)}"
            )
    return names


def _linear_modules(network: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the linear layers by name, without the head and the parts of adapters."""
    head = network.get_output_embeddings()
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | Conv1D | LoraLayer)
        and module is not head
        and not name.endswith(".base_layer")
        and ".lora_" not in name
    }


def _is_plain_linear(module: nn.Module) -> bool:
    """Whether a module computes a linear map: some routers are subclasses that do more."""
    if isinstance(module, LoraLayer) or type(module).forward in LINEAR_FORWARDS:
        return True
    return isinstance(module, nn.Linear) and _computes_a_linear_map(module)


@torch.no_grad()
def _computes_a_linear_map(module: nn.Linear) -> bool:
    """Whether a subclass of a linear layer computes the same; without data only by its shape."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, module.in_features, generator=generator).to(module.weight)
    try:
        out = module(x)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return False
    expected = F.linear(x, module.weight, module.bias)
    if not isinstance(out, torch.Tensor) or out.shape != expected.shape:
        return False
    return out.is_meta or torch.allclose(out.float(), expected.float(), rtol=0.02, atol=0.02)


def _language_model_prefix(network: PreTrainedModel) -> str:
    """Return what the names of the language model's modules begin with; texts use no others."""
    if network.config.get_text_config() is network.config:
        return ""
    decoder = network.get_decoder()
    name = next((n for n, m in network.named_modules() if m is decoder), "")
    return f"{name}." if name else ""


def _accepted_by_peft(network: PreTrainedModel, names: list[str]) -> list[str]:
    """Return the names that PEFT adapts as they are.

    In some architectures PEFT takes the names of linear layers for those of fused experts; in
    others it refuses a layer whose forward pass is never called.
    """
    config = LoraConfig(target_modules=names)
    convert_peft_config_for_transformers(config, model=network, conversions=None)
    return [
        name
        for name in names
        if name in config.target_modules and not _is_refused(network, config, name)
    ]


def _is_refused(network: PreTrainedModel, config: LoraConfig, name: str) -> bool:
    try:
        _check_lora_target_modules_mamba(config, network, name)
    except ValueError:
        return True
    return False


def _left_out(network: PreTrainedModel, adapted: Iterable[str], prefix: str) -> list[str]:
    """Return short names of the layers' matrices that get no adapter."""
    no_layers = {network.get_input_embeddings(), network.get_output_embeddings()}
    adapted = set(adapted)
    found = {
        _short_name(name, parameter)
        for name, module in network.named_modules()
        if name.startswith(prefix)
        and name.removesuffix(".base_layer") not in adapted
        and ".lora_" not in name
        and not (module in no_layers or isinstance(module, nn.Embedding))
        for parameter, weight in module.named_parameters(recurse=False)
        if weight.ndim > 1
    }
    return sorted(found)


def _short_name(module: str, parameter: str) -> str:
    return _leaf(module) if parameter == "weight" else f"{_leaf(module)}.{parameter}"


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
