"""A network's weights in another dtype for a while, one layer at a time.

The copies of a layer exist only during its forward pass, so that the peak is the weights outside of
the layers and one layer. The original tensors come back unchanged. What a quantized network stores
in few bits or in half precision stays: its modules convert what they compute.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from upbring.model.quantized import HalfEmbedding, HalfHead, QuantizedLinear

Originals = list[tuple[Tensor, Tensor]]


@contextmanager
def in_dtype(network: PreTrainedModel, dtype: torch.dtype) -> Iterator[None]:
    """Compute with the network's weights in `dtype` inside the block."""
    layers = [m for m in network.modules() if isinstance(m, GradientCheckpointingLayer)]
    in_layers = {id(tensor) for layer in layers for tensor in _tensors(layer)}
    outside = _convert((t for t in _tensors(network) if id(t) not in in_layers), dtype)
    originals: dict[nn.Module, Originals] = {}

    def convert(layer: nn.Module, *_: object) -> None:
        originals[layer] = _convert(_tensors(layer), dtype)

    def restore(layer: nn.Module, *_: object) -> None:
        _restore(originals.pop(layer, []))

    hooks = [layer.register_forward_pre_hook(convert) for layer in layers]
    hooks += [layer.register_forward_hook(restore, always_call=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in [*originals]:
            restore(layer)
        _restore(outside)


def _tensors(module: nn.Module) -> list[Tensor]:
    """Return the floating-point parameters and buffers of a module, each once.

    What a quantized network stores in few bits or in half precision is left out.
    """
    tensors = {id(t): t for t in (*module.parameters(), *module.buffers())}
    for each in module.modules():
        if isinstance(each, HalfEmbedding | HalfHead):
            tensors.pop(id(each.weight), None)
        if isinstance(each, QuantizedLinear):
            for buffer in each.buffers():
                tensors.pop(id(buffer), None)
    return [t for t in tensors.values() if t.is_floating_point()]


def _convert(tensors: Iterable[Tensor], dtype: torch.dtype) -> Originals:
    """Convert tensors in place and return them with their original data."""
    originals = []
    for tensor in tensors:
        if tensor.dtype != dtype:
            originals.append((tensor, tensor.data))
            tensor.data = tensor.data.to(dtype)
    return originals


def _restore(originals: Originals) -> None:
    for tensor, data in originals:
        tensor.data = data
