"""A network's weights in float32 for a while, one layer at a time.

The copies of a layer exist only during its forward pass, so that the peak is the weights outside of
the layers and one layer. The original tensors come back unchanged.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

Originals = list[tuple[Tensor, Tensor]]


@contextmanager
def in_float32(network: PreTrainedModel) -> Iterator[None]:
    """Compute with the network's weights in float32 inside the block."""
    layers = [m for m in network.modules() if isinstance(m, GradientCheckpointingLayer)]
    in_layers = {id(tensor) for layer in layers for tensor in _tensors(layer)}
    outside = _to_float32(tensor for tensor in _tensors(network) if id(tensor) not in in_layers)
    originals: dict[nn.Module, Originals] = {}

    def convert(layer: nn.Module, *_: object) -> None:
        originals[layer] = _to_float32(_tensors(layer))

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
    """Return the floating-point parameters and buffers of a module, each once."""
    tensors = {id(t): t for t in (*module.parameters(), *module.buffers())}
    return [t for t in tensors.values() if t.is_floating_point()]


def _to_float32(tensors: Iterable[Tensor]) -> Originals:
    """Convert tensors in place and return them with their original data."""
    originals = []
    for tensor in tensors:
        if tensor.dtype != torch.float32:
            originals.append((tensor, tensor.data))
            tensor.data = tensor.data.float()
    return originals


def _restore(originals: Originals) -> None:
    for tensor, data in originals:
        tensor.data = data
