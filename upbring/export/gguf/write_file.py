"""Writes a model in memory as one GGUF file, with the `gguf` package alone.

One tensor at a time is converted, so the file costs little memory beside the model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from upbring.errors import InputError
from upbring.export.gguf.write_tokenizer import TokenizerMetadata
from upbring.model.gguf.architectures import (
    Architecture,
    architecture_of_config,
    metadata_of_config,
    rope_factors,
)
from upbring.model.gguf.header import Scalar, require_gguf
from upbring.model.gguf.rotary import ROPE_TENSOR
from upbring.model.gguf.tensors import TensorRules, gguf_names

Format = Literal["float32", "float16", "bfloat16", "q8_0"]
TYPES: dict[Format, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "q8_0": "Q8_0"}
FILE_TYPES: dict[Format, int] = {"float32": 0, "float16": 1, "q8_0": 7, "bfloat16": 32}
QUANTIZATION_VERSION = 2
Q8_BLOCK = 32  # values that share a scale; other rows are stored in float16
ROLES = ("bos", "eos", "unk", "pad")


@dataclass(frozen=True)
class ChatMetadata:
    """How the model is prompted: template, special tokens, and whether BOS is added to a text."""

    template: str | None
    token_ids: Mapping[str, int]  # by role: bos, eos, eot, unk, pad
    adds_bos: bool


@dataclass(frozen=True)
class Stored:
    """One tensor as it is stored: GGUF's name, the values, and the type."""

    name: str
    parameter: str | None
    values: np.ndarray  # float32, before they are rounded to the type
    kind: str


@dataclass(frozen=True)
class FileContent:
    """Everything that a file is written from."""

    network: PreTrainedModel
    tokenizer: TokenizerMetadata
    chat: ChatMetadata
    format: Format
    general: Mapping[str, Scalar | Sequence[str]]  # name, license and the like
    name: str  # of the model, for messages
    warnings: list[str] = field(default_factory=list)

    @property
    def architecture(self) -> Architecture:
        """The architecture in GGUF."""
        return architecture_of_config(self.network.config, name=self.name)

    def tensors(self) -> Iterator[Stored]:
        """Yield the tensors in the order of the file."""
        config = self.network.config
        parameters = _parameters(self.network)
        rules = TensorRules(self.architecture, config)
        factors = rope_factors(config)
        if factors is not None:
            yield Stored(ROPE_TENSOR, None, factors, "F32")
        for name, gguf_name in gguf_names(self.architecture, config, parameters).items():
            values = rules.to_gguf(name, parameters[name].detach().float().numpy())
            yield Stored(gguf_name, name, values, self._kind(values))

    def _kind(self, values: np.ndarray) -> str:
        if values.ndim == 1:
            return "F32"
        if self.format == "q8_0" and values.shape[-1] % Q8_BLOCK:
            return "F16"
        return TYPES[self.format]


def write_file(path: Path, content: FileContent) -> None:
    """Write the file."""
    gguf = require_gguf()
    writer = gguf.GGUFWriter(path, content.architecture.name)
    _add_metadata(writer, content)
    kinds = {}
    for stored in content.tensors():
        kind = gguf.GGMLQuantizationType[stored.kind]
        kinds[stored.name] = kind
        plain = {"F32": np.float32, "F16": np.float16}.get(stored.kind)
        shape, dtype = stored.values.shape, plain or np.uint8
        if plain is None:
            shape = gguf.quant_shape_to_byte_shape(shape, kind)
        num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        writer.add_tensor_info(
            stored.name, shape, np.dtype(dtype), num_bytes, raw_dtype=None if plain else kind
        )
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for stored in content.tensors():
            writer.write_tensor_data(encode(stored, content.name))
    finally:
        writer.close()


def encode(stored: Stored, name: str) -> np.ndarray:
    """Return a tensor's bytes in its type."""
    gguf = require_gguf()
    if stored.kind == "F32":
        return np.ascontiguousarray(stored.values, dtype=np.float32)
    if stored.kind == "F16":
        with np.errstate(over="ignore"):
            half = stored.values.astype(np.float16)
        if not np.isfinite(half).all():
            raise InputError(
                f"{name}: {stored.name} has values beyond the range of float16; export it with "
                "--dtype bfloat16 or float32"
            )
        return half
    data: np.ndarray = gguf.quants.quantize(stored.values, gguf.GGMLQuantizationType[stored.kind])
    return data


def _parameters(network: PreTrainedModel) -> dict[str, Tensor]:
    """Return the model's tensors; a tied head is not written twice."""
    tied = {"lm_head.weight"} if network.config.tie_word_embeddings else set()
    return {name: value for name, value in network.state_dict().items() if name not in tied}


def _add_metadata(writer: Any, content: FileContent) -> None:  # noqa: ANN401 -- the package's own
    prefix = content.architecture.name
    writer.add_type("model")
    for key, value in content.general.items():
        _add(writer, f"general.{key}", value)
    writer.add_file_type(FILE_TYPES[content.format])
    writer.add_quantization_version(QUANTIZATION_VERSION)
    for key, value in metadata_of_config(content.architecture, content.network.config).items():
        _add(writer, f"{prefix}.{key}", value)
    tokenizer, chat = content.tokenizer, content.chat
    writer.add_tokenizer_model(tokenizer.model)
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.types)
    if tokenizer.scores is not None:
        writer.add_token_scores(tokenizer.scores)
    if tokenizer.merges is not None:
        writer.add_token_merges(tokenizer.merges)
    writer.add_add_space_prefix(tokenizer.has_space_prefix)
    writer.add_add_bos_token(chat.adds_bos)
    writer.add_add_eos_token(False)  # noqa: FBT003 -- the package's own
    names = {"unk": "unknown", "pad": "padding"}
    for role, number in chat.token_ids.items():
        writer.add_uint32(f"tokenizer.ggml.{names.get(role, role)}_token_id", number)
    if chat.template is not None:
        writer.add_chat_template(chat.template)


def _add(writer: Any, key: str, value: Scalar | Sequence[str]) -> None:  # noqa: ANN401 -- as above
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))


@torch.no_grad()
def rounding_limit(kind: str, values: np.ndarray) -> np.ndarray:
    """Return how far a stored value may be from the given one, by its type's rounding.

    float16 and bfloat16 round to 11 and 8 significant bits; a block of Q8_0 has a step of a 127th
    of its largest value, and its scale is rounded to float16.
    """
    size: np.ndarray = np.abs(values)
    if kind == "F32":
        return np.zeros_like(size)
    if kind == "F16":
        return np.maximum(size * 2.0**-11, 2.0**-25)
    if kind == "BF16":
        return size * 2.0**-8
    blocks = size.reshape(*size.shape[:-1], -1, Q8_BLOCK)
    largest = blocks.max(-1, keepdims=True)
    limit = np.broadcast_to(largest * (0.5 / 127 + 2.0**-10) + 1e-7, blocks.shape)
    return limit.reshape(size.shape)
