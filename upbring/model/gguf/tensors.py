"""Tensors in both formats: their names, and how the same weight is stored.

A linear layer is stored alike. llama.cpp applies rotary embeddings to neighboring pairs in Llama,
transformers to the two halves of a head, so the rows of q and k are in another order; and it adds
the 1 of Gemma's norms when a model is converted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from transformers import PretrainedConfig

from upbring.model.gguf.architectures import Architecture, head_size
from upbring.model.gguf.header import require_gguf

QUERY_KEY = (".q_proj.weight", ".k_proj.weight", ".q_proj.bias", ".k_proj.bias")
NORM = "norm.weight"


@dataclass(frozen=True)
class TensorRules:
    """How the tensors of one model differ between the formats."""

    architecture: Architecture
    config: PretrainedConfig

    def to_gguf(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return the values of a parameter as GGUF stores them."""
        if self.architecture.is_permuted and name.endswith(QUERY_KEY):
            pairs = values.reshape(-1, 2, head_size(self.config) // 2, *values.shape[1:])
            return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
        if self.architecture.norm_offset and name.endswith(NORM):
            return values + np.float32(self.architecture.norm_offset)
        return values

    def from_gguf(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return the values of a parameter from those that GGUF stores."""
        if self.architecture.is_permuted and name.endswith(QUERY_KEY):
            pairs = values.reshape(-1, head_size(self.config) // 2, 2, *values.shape[1:])
            return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
        if self.architecture.norm_offset and name.endswith(NORM):
            return values - np.float32(self.architecture.norm_offset)
        return values


def gguf_names(
    architecture: Architecture, config: PretrainedConfig, names: Iterable[str]
) -> dict[str, str]:
    """Return GGUF's name for each parameter of the model."""
    gguf = require_gguf()
    kinds = {text: kind for kind, text in gguf.MODEL_ARCH_NAMES.items()}
    table = gguf.get_tensor_name_map(kinds[architecture.name], int(config.num_hidden_layers))
    found = {name: table.get_name(name, try_suffixes=(".weight", ".bias")) for name in names}
    missing = [name for name, other in found.items() if other is None]
    assert not missing, f"{architecture.name}: no name in GGUF for {missing[:3]}"
    return {name: str(other) for name, other in found.items()}
