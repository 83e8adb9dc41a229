"""Load a network with weights of 4 or 8 bits, one tensor at a time.

Each weight is read, quantized by bitsandbytes and freed before the next one is read, so that memory
grows to that of the quantized network and one tensor, whatever the size of the files. Embeddings
and head are not quantized; they keep the half precision of the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from upbring import durable
from upbring.errors import InputError
from upbring.model.quantized import (
    BLOCK_SIZE,
    SCALE_BLOCK_SIZE,
    HalfEmbedding,
    HalfHead,
    Quantization,
    QuantizedLinear,
    quantized_layers,
)
from upbring.runs.json_object import read_json_object

QUANTIZATION_EXTRA = (
    'quantization: {name} needs bitsandbytes; run `pip install "upbring[quantization]"`, or use '
    "--quantization none"
)
BYTES_BETWEEN_TRIMS = 2**28
QUANTIZING_COPIES = 6  # of a weight in half precision while it is quantized, at most
HALF = (torch.bfloat16, torch.float16)
INDEX = "model.safetensors.index.json"


class StageLike(Protocol):
    """The settings of a training stage that quantization depends on."""

    @property
    def tune(self) -> str:
        """What is trained: lora or full."""

    @property
    def dora(self) -> bool:
        """Whether the adapter is DoRA."""


@dataclass(slots=True)
class HeapGaps:
    """Returns gaps in the heap to the system while weights are read and quantized.

    A weight's few bits often land where a larger temporary tensor was; what is left of that place
    fits no later one. For six layers of an 8-billion shape, such places took more than the weights.
    """

    num_bytes: int = 0  # read since the last time

    def after_reading(self, num_bytes: int) -> None:
        """Count a tensor that was read."""
        self.num_bytes += num_bytes
        if self.num_bytes > BYTES_BETWEEN_TRIMS:
            self.num_bytes = 0
            durable.trim_heap()


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file, read when it is indexed; the file is open only then."""

    file: Path
    name: str
    gaps: HeapGaps

    def __getitem__(self, index: object) -> Tensor:
        with safe_open(self.file, framework="pt") as tensors:
            tensor: Tensor = tensors.get_slice(self.name)[index]
        self.gaps.after_reading(tensor.nbytes)
        return tensor


def load_quantized(
    base: Path,
    config: PretrainedConfig,
    *,
    quantization: Quantization,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return a directory's network with quantized linear layers, and what transformers reports.

    Other weights have `dtype`, but embeddings and head that are stored in half precision keep it.
    """
    bitsandbytes = import_bitsandbytes(quantization)
    with torch.device("meta"):
        network_class = type(AutoModelForCausalLM.from_config(config))
    file_dtype = _file_dtype(base)
    network, loading_info = network_class.from_pretrained(
        None,
        config=config,
        state_dict=dict(stored_tensors(base)),
        dtype=file_dtype if dtype == torch.float32 and file_dtype in HALF else dtype,
        quantization_config=_bitsandbytes_config(quantization),
        device_map={"": device},
        output_loading_info=True,
    )
    assert isinstance(network, PreTrainedModel), f"{type(network)} is not a transformers model"
    for name, module in list(network.named_modules()):
        if isinstance(module, bitsandbytes.nn.Linear4bit | bitsandbytes.nn.Linear8bitLt):
            _replace(network, name, _convert(module, quantization, dtype))
    _forget_bitsandbytes(network)
    set_plain_dtype(network, dtype)
    return network, loading_info


def check_quantization(quantization: Quantization | None, settings: StageLike) -> None:
    """Raise an InputError if a stage cannot train on weights of few bits."""
    if quantization is None:
        return
    if settings.tune == "full":
        raise InputError(
            f"quantization: {quantization} weights are frozen and cannot all be trained; use "
            "--tune lora, or --quantization none"
        )
    if settings.dora:
        raise InputError(
            f"quantization: DoRA is not available on {quantization} weights; leave out dora, or "
            "use --quantization none"
        )
    import_bitsandbytes(quantization)


def import_bitsandbytes(quantization: str) -> ModuleType:
    """Return bitsandbytes, or raise an InputError that names the extra."""
    if find_spec("bitsandbytes") is None:
        raise InputError(QUANTIZATION_EXTRA.format(name=quantization))
    return import_module("bitsandbytes")


def stored_tensors(base: Path) -> Iterator[tuple[str, StoredTensor]]:
    """Yield the tensors of a directory's weights, none of them read."""
    gaps = HeapGaps()
    if (base / INDEX).is_file():
        weight_map = read_json_object(base / INDEX).get("weight_map")
        names = weight_map if isinstance(weight_map, dict) else {}
        for name, file in names.items():
            yield str(name), StoredTensor(base / str(file), str(name), gaps)
        return
    for file in sorted(base.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            yield from ((name, StoredTensor(file, name, gaps)) for name in tensors.keys())  # noqa: SIM118 -- not a mapping


def reading_bytes(base: Path, *, vocabulary: int) -> int:
    """Return what reading and quantizing a directory's weights takes at most, beside the weights.

    Embeddings and head, with a row for each token, are copied once and not quantized.
    """
    sizes = [0]
    for _, tensor in stored_tensors(base):
        with safe_open(tensor.file, framework="pt") as tensors:
            part = tensors.get_slice(tensor.name)
            shape, dtype = torch.Size(part.get_shape()), str(part.get_dtype())
        size = shape.numel() * (4 if dtype == "F32" else 2)
        sizes.append(size if vocabulary in shape else QUANTIZING_COPIES * size)
    return max(sizes)


def quantize_meta_network(
    network: PreTrainedModel, quantization: Quantization, dtype: torch.dtype
) -> None:
    """Replace the linear layers of a network on the meta device as `load_quantized` does."""
    import_bitsandbytes(quantization)
    if dtype == torch.float32:  # as most files are stored
        network.to(torch.bfloat16)
    head = network.get_output_embeddings()
    for name, module in list(network.named_modules()):
        is_linear = type(module) is nn.Linear or isinstance(module, Conv1D)
        if is_linear and module is not head:
            _replace(network, name, _meta_layer(module, quantization, dtype))
    set_plain_dtype(network, dtype)


def _meta_layer(module: Any, quantization: Quantization, dtype: torch.dtype) -> QuantizedLinear:  # noqa: ANN401 -- Conv1D has no types
    """Return a layer without data, of the sizes of the linear layer `module`."""
    rows, columns = module.weight.shape
    if isinstance(module, Conv1D):
        rows, columns = columns, rows
    blocks = -(-rows * columns // BLOCK_SIZE)
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
        "codes": (((rows * columns + 1) // 2, 1), torch.uint8),
        "scale_codes": ((blocks,), torch.uint8),
        "scale_scales": ((-(-blocks // SCALE_BLOCK_SIZE),), torch.float32),
        "scale_table": ((SCALE_BLOCK_SIZE,), torch.float32),
        "scale_offset": ((), torch.float32),
    }
    if quantization == "int8":
        shapes = {
            "codes": ((rows, columns), torch.int8),
            "scales": ((rows,), torch.float32),
        }
    return QuantizedLinear(
        columns,
        rows,
        quantization=quantization,
        tensors={n: torch.empty(s, dtype=t, device="meta") for n, (s, t) in shapes.items()},
        bias=module.bias,
        dtype=dtype,
    )


def _file_dtype(base: Path) -> torch.dtype:
    """Return the dtype of the largest part of a directory's weights, by the first matrix."""
    for _, tensor in stored_tensors(base):
        with safe_open(tensor.file, framework="pt") as tensors:
            part = tensors.get_slice(tensor.name)
            if len(part.get_shape()) > 1:
                dtypes = {"BF16": torch.bfloat16, "F16": torch.float16}
                return dtypes.get(str(part.get_dtype()), torch.float32)
    return torch.float32


def _bitsandbytes_config(quantization: Quantization) -> BitsAndBytesConfig:
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )


def _convert(module: Any, quantization: Quantization, dtype: torch.dtype) -> QuantizedLinear:  # noqa: ANN401 -- bitsandbytes has no types
    """Return a layer of bitsandbytes as one of ours, which shares its tensors."""
    weight = module.weight
    if quantization == "int8":
        tensors = {"codes": weight.data, "scales": weight.SCB}
    else:
        state = weight.quant_state
        tensors = {
            "codes": weight.data,
            "scale_codes": state.absmax,
            "scale_scales": state.state2.absmax,
            "scale_table": state.state2.code,
            "scale_offset": state.offset,
        }
    return QuantizedLinear(
        module.in_features,
        module.out_features,
        quantization=quantization,
        tensors=tensors,
        bias=module.bias,
        dtype=dtype,
    )


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


def _forget_bitsandbytes(network: PreTrainedModel) -> None:
    """Remove what transformers notes of a quantized network, so that libraries see a plain one."""
    for name in ("is_loaded_in_4bit", "is_loaded_in_8bit", "hf_quantizer", "quantization_method"):
        network.__dict__.pop(name, None)
    network.__dict__["is_quantized"] = False
    for config in {id(c): c for c in (network.config, network.config.get_text_config())}.values():
        config.__dict__.pop("quantization_config", None)


def set_plain_dtype(network: PreTrainedModel, dtype: torch.dtype) -> None:
    """Convert the weights that are not quantized to `dtype`, but half embeddings and head stay."""
    kept: set[int] = set()
    embedding, head = network.get_input_embeddings(), network.get_output_embeddings()
    for module, plain, half in (
        (embedding, nn.Embedding, HalfEmbedding),
        (head, nn.Linear, HalfHead),
    ):
        if type(module) is plain and module.weight.dtype in HALF:
            module.__class__ = half
            kept.add(id(module.weight))
    if type(embedding) is not HalfEmbedding:  # a tied head has the embedding's dtype
        kept.discard(id(embedding.weight))
    for layer in (each for _, each in quantized_layers(network)):
        kept |= {id(tensor) for tensor in layer.buffers()}
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point() and id(tensor) not in kept:
            tensor.data = tensor.data.to(dtype)
