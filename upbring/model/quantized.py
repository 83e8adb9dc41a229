"""Linear layers whose frozen weights are stored in 4 or 8 bits, in the format of bitsandbytes.

    nf4    w = code[c] · a,  c of 4 bits, a one scale for each 64 weights, itself stored in 8 bits
           (QLoRA, arXiv 2305.14314: NormalFloat and double quantization)
    int8   w = c · s / 127,  c of 8 bits, s the largest |w| of a row (LLM.int8(), arXiv 2208.07339)

Only weights are rounded. A forward or backward pass computes the dense weight of one layer, a few
rows at a time, uses and frees them. LLM.int8() also rounds activations, with outliers chosen over
all rows of a batch; that is left out, because a text's log-probabilities would depend on its
neighbors.

An adapter that is merged into such a layer is kept as its factors: W + B A is never rounded to few
bits again.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor, nn

from upbring.model.frozen_head import project

Quantization = Literal["nf4", "int8"]

BLOCK_SIZE = 64  # weights with one scale (nf4)
SCALE_BLOCK_SIZE = 256  # scales with one scale (nf4)
INT8_MAX = 127
SLICE_WEIGHTS = 2**22  # dense at once, on a CPU
DEQUANTIZED_DTYPES = (torch.float32, torch.bfloat16, torch.float16)  # of bitsandbytes


class QuantizedLinear(nn.Linear):
    """A frozen linear layer that computes its dense weight when it is used."""

    codes: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        quantization: Quantization,
        tensors: Mapping[str, Tensor],
        bias: nn.Parameter | None,
        dtype: torch.dtype,
    ) -> None:
        nn.Module.__init__(self)  # without the dense weight of a linear layer
        self.in_features, self.out_features = in_features, out_features
        self.quantization, self.dtype = quantization, dtype
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        self.register_parameter("bias", bias)
        self.merged_factors: list[tuple[Tensor, Tensor]] = []  # A [r, in], B [out, r]

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # computed, where nn.Linear stores it
        """The dense weight `[out, in]` in the layer's dtype: a new tensor at each access."""
        return self.dense(self.dtype)

    @torch.no_grad()
    def dense(self, dtype: torch.dtype) -> Tensor:
        """Return the dense weight `[out, in]` in a dtype, with the merged adapters."""
        return self._dense_rows(slice(0, self.out_features), self._scales(), dtype)

    @torch.no_grad()
    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return x Wᵀ + b `[…, out]` from x `[…, in]`, without the bias of the layer."""
        out = x.new_empty(*x.shape[:-1], self.out_features)
        for rows, weight in self._dense_slices(x.dtype):
            out[..., rows] = F.linear(x, weight, None if bias is None else bias[rows])
        return out

    @torch.no_grad()
    def transposed_product(self, g: Tensor) -> Tensor:
        """Return g W `[…, in]` from g `[…, out]`."""
        flat = g.reshape(-1, self.out_features)
        dtype = torch.promote_types(g.dtype, torch.float32)  # of the sum
        out = torch.zeros(len(flat), self.in_features, dtype=dtype, device=g.device)
        for rows, weight in self._dense_slices(g.dtype):
            if dtype == g.dtype:
                out.addmm_(flat[:, rows], weight)
            else:
                out += flat[:, rows] @ weight
        return out.view(*g.shape[:-1], -1).to(g.dtype)

    def _dense_slices(self, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
        """Yield the dense weight, on a CPU a few rows at a time.

        They fit in its cache, and the heap gets no gaps of the size of a weight.
        """
        aligned = BLOCK_SIZE // math.gcd(BLOCK_SIZE, self.in_features)  # rows of whole blocks
        count = self.out_features
        if self.codes.device.type != "cuda":  # also on "meta", where memory is planned
            count = max(1, SLICE_WEIGHTS // (self.in_features * aligned)) * aligned
        scales = self._scales()
        for start in range(0, self.out_features, count):
            rows = slice(start, min(start + count, self.out_features))
            yield rows, self._dense_rows(rows, scales, dtype)

    def _dense_rows(self, rows: slice, scales: Tensor, dtype: torch.dtype) -> Tensor:
        """Return rows of the dense weight, of which the first begins with a block."""
        weight = self._dequantize(rows, scales, dtype)
        for A, B in self.merged_factors:
            weight.addmm_(B[rows].to(dtype), A.to(dtype))
        return weight

    def _scales(self) -> Tensor:
        """Return the scale of each block (nf4) or row (int8)."""
        if self.quantization == "int8":
            return self.get_buffer("scales") / INT8_MAX
        scales: Tensor = torch.ops.bitsandbytes.dequantize_blockwise(
            self.scale_codes, self.scale_scales, self.scale_table, SCALE_BLOCK_SIZE, torch.float32
        )
        return scales.add_(self.get_buffer("scale_offset"))

    def _dequantize(self, rows: slice, scales: Tensor, dtype: torch.dtype) -> Tensor:
        if self.quantization == "int8":
            return self.codes[rows].to(dtype).mul_(scales[rows].unsqueeze(1))
        start, stop = rows.start * self.in_features, rows.stop * self.in_features
        weight: Tensor = torch.ops.bitsandbytes.dequantize_4bit(
            self.codes[start // 2 : (stop + 1) // 2],
            scales[start // BLOCK_SIZE : -(-stop // BLOCK_SIZE)],
            BLOCK_SIZE,
            "nf4",
            _rows_of_blocks(stop - start),
            dtype if dtype in DEQUANTIZED_DTYPES else torch.float32,
        )
        return weight.view(-1, self.in_features).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output `[…, out]`."""
        x = x.to(active_dtype(x))
        bias = None if self.bias is None else self.bias.to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            out: Tensor = DenseOnDemand.apply(x, self, bias)  # type: ignore[no-untyped-call]
        return out

    def merge(self, A: Tensor, B: Tensor) -> None:
        """Add B A to the weight: A `[r, in]`, B `[out, r]`."""
        self.merged_factors.append((A.detach().clone(), B.detach().clone()))

    def extra_repr(self) -> str:
        """Return the sizes and the kind of the stored weights."""
        return f"{self.in_features}, {self.out_features}, {self.quantization}"


def _rows_of_blocks(num_weights: int) -> list[int]:
    """Return a shape whose rows begin with a block, since blocks follow each other without rows.

    bitsandbytes' kernel for AVX-512 applies wrong scales where a block has parts of two rows.

    >>> _rows_of_blocks(128), _rows_of_blocks(100)
    ([2, 64], [1, 100])
    """
    if num_weights % BLOCK_SIZE:
        return [1, num_weights]
    return [num_weights // BLOCK_SIZE, BLOCK_SIZE]


class DenseOnDemand(torch.autograd.Function):
    """A frozen linear map that saves no weight: the backward pass computes it again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: QuantizedLinear, bias: Tensor | None) -> Tensor:  # noqa: ANN401 -- torch's context is untyped
        """Return x Wᵀ + b."""
        ctx.layer = layer
        return layer.product(x, bias)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 -- as above
        """Return the gradient of x."""
        return ctx.layer.transposed_product(g), None, None


class HalfEmbedding(nn.Embedding):
    """An embedding stored in half precision, whose rows have the dtype of the computation."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the rows of the tokens `[…, D]`."""
        rows = super().forward(tokens)
        return rows.to(active_dtype(rows, default=torch.float32))


class HalfHead(nn.Linear):
    """A language-model head stored in half precision, used in the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `[…, V]`."""
        if torch.is_grad_enabled():
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return F.linear(x, self.weight.to(x.dtype), bias)
        flat = project(x.reshape(-1, x.shape[-1]), self.weight)
        out = flat.view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias.to(x.dtype)


def active_dtype(x: Tensor, *, default: torch.dtype | None = None) -> torch.dtype:
    """Return autocast's dtype where it is on, else the default or that of `x`."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return default or x.dtype


def dense_weight(layer: nn.Linear, dtype: torch.dtype) -> Tensor:
    """Return the weight `[out, in]` of a plain or a quantized linear layer in a dtype."""
    if isinstance(layer, QuantizedLinear):
        return layer.dense(dtype)
    return layer.weight.to(dtype)


def is_frozen_linear(layer: nn.Module) -> bool:
    """Whether a layer is linear with a frozen weight, plain or quantized, and nothing more."""
    if type(layer) is QuantizedLinear:
        return True
    return type(layer) in (nn.Linear, HalfHead) and not layer.weight.requires_grad


def quantized_layers(network: nn.Module) -> Iterator[tuple[str, QuantizedLinear]]:
    """Yield the quantized layers of a network, by name."""
    for name, module in network.named_modules():
        if isinstance(module, QuantizedLinear):
            yield name, module


def num_weights(network: nn.Module) -> int:
    """Return the number of weights without those of adapters; a quantized weight is one."""
    plain = sum(p.numel() for name, p in network.named_parameters() if "lora_" not in name)
    layers = (layer for _, layer in quantized_layers(network))
    return plain + sum(layer.in_features * layer.out_features for layer in layers)


def weight_bytes(network: nn.Module) -> int:
    """Return the bytes of the weights and buffers without those of adapters."""
    parameters = [p for name, p in network.named_parameters() if "lora_" not in name]
    return sum(t.numel() * t.element_size() for t in (*parameters, *network.buffers()))


def make_dense(network: nn.Module) -> None:
    """Replace the quantized layers of a network by plain ones with their dense weights."""
    for name, layer in list(quantized_layers(network)):
        parent, _, leaf = name.rpartition(".")
        plain = nn.Linear(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        plain.weight = nn.Parameter(layer.weight, requires_grad=False)
        if layer.bias is not None:
            plain.bias = layer.bias
        setattr(network.get_submodule(parent), leaf, plain)
