"""Products with frozen weights in float32 on an AMD processor, by oneDNN.

    y = x Wᵀ + b,    ∂L/∂x = g W

torch computes float32 products with MKL, which reaches three quarters of oneDNN's speed on AMD's
processors: 1,000 rows with SmolLM2's weights take 0.70 and 0.75 of the time, although W is
transposed for the second one each time. Rows are filled up to a multiple of 64, because oneDNN
compiles a product for each number of rows and keeps it.

Small products, and those on other machines and in other types, are torch's.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from torch import Tensor

ROW_MULTIPLE = 64
MIN_ROWS, MIN_ROWS_TRANSPOSED = 128, 512
MIN_WEIGHTS = 2**16  # of a matrix; smaller ones are not worth the call


def frozen_product(x: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x Wᵀ + b `[T, out]` from x `[T, in]`, without a gradient."""
    if _is_faster(x, W, MIN_ROWS):
        return _product(x, W, bias)
    return x @ W.t() if bias is None else torch.addmm(bias, x, W.t())


def frozen_gradient(g: Tensor, W: Tensor) -> Tensor:
    """Return g W `[T, in]` from g `[T, out]`, without a gradient."""
    if _is_faster(g, W, MIN_ROWS_TRANSPOSED):
        return _product(g, W.t().contiguous(), None)
    return g @ W


def _product(x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
    num_rows = len(x)
    filled = F.pad(x, (0, 0, 0, -num_rows % ROW_MULTIPLE))
    linear = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 -- no public name
    out: Tensor = linear(filled, W, bias, "none", [], "")
    return out[:num_rows]


def _is_faster(x: Tensor, W: Tensor, min_rows: int) -> bool:
    return (
        len(x) >= min_rows
        and W.numel() >= MIN_WEIGHTS
        and x.dtype == W.dtype == torch.float32
        and x.device.type == W.device.type == "cpu"
        and not (torch.is_grad_enabled() and (x.requires_grad or W.requires_grad))
        and is_amd()
    )


@cache
def is_amd() -> bool:
    """Whether the processor is AMD's and torch has oneDNN."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    file = Path("/proc/cpuinfo")  # of Linux; elsewhere the products are torch's
    return file.is_file() and "AuthenticAMD" in file.read_text(encoding="utf-8", errors="replace")
