"""Several LoRA adapters on one copy of the base weights, in the same forward pass.

    y = W x + s B_i A_i x      for the rows of adapter i

The products with W are those of all rows together; each adapter adds two small products for its own
rows. Projections that are one product in the decoder (queries, keys and values; gate and up) have
their A stacked and their B in blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from upbring.model.decoder import Decoder, Projection
from upbring.model.network import Model
from upbring.model.roles import Roles

Factors = tuple[Tensor, Tensor]  # A [r, in] and s B [out, r]
FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


@dataclass(slots=True, eq=False)
class AdapterRows:
    """Which rows of the current step belong to which adapter; None: all of them."""

    rows: dict[str, Tensor | None] = field(default_factory=dict)

    def assign(self, adapters: Sequence[tuple[str | None, int]], device: torch.device) -> None:
        """Set the adapter of each span of rows, given as (adapter, number of rows)."""
        names = {name for name, _ in adapters}
        self.rows = {}
        for name in sorted(names - {None}, key=str):
            is_own = torch.cat([torch.full((n,), each == name) for each, n in adapters])
            own = None if len(names) == 1 else is_own.nonzero().squeeze(1).to(device)
            self.rows[str(name)] = own


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedProjection:
    """A projection of the base, and what each adapter adds to its own rows."""

    base: Projection
    factors: Mapping[str, Factors]
    active: AdapterRows

    def __call__(self, x: Tensor) -> Tensor:
        """Return `[T, out]` from x `[T, in]`."""
        out = self.base(x)
        for name, rows in self.active.rows.items():
            if name in self.factors:
                down, up = self.factors[name]
                if rows is None:
                    out = out + (x @ down.T) @ up.T
                else:
                    out = out.index_add(0, rows, (x[rows] @ down.T) @ up.T)
        return out


def adapt_decoder(
    decoder: Decoder, model: Model, roles: Roles, names: Sequence[str], active: AdapterRows
) -> Decoder:
    """Return the decoder of the base with these adapters on its projections."""
    if not names:
        return decoder
    all_factors = {name: roles.factors(name) for name in names}
    prefix = next(n for n, m in model.network.named_modules() if m is model.network.base_model)
    layers = []
    for number, layer in enumerate(decoder.layers):
        projections: dict[str, Any] = {}
        for fused, parts in FUSED.items():
            paths = [f"{prefix}.layers.{number}.{part}".lstrip(".") for part in parts]
            widths = [_out_features(model, path) for path in paths]
            stacked = {
                name: _stack([factors.get(path) for path in paths], widths, decoder.dtype)
                for name, factors in all_factors.items()
                if any(path in factors for path in paths)
            }
            if stacked:
                projections[fused] = AdaptedProjection(getattr(layer, fused), stacked, active)
        layers.append(replace(layer, **projections))
    return replace(decoder, layers=tuple(layers))


def _out_features(model: Model, path: str) -> int:
    module = model.network.get_submodule(path)
    return int(getattr(module, "out_features", 0))


def _stack(parts: Sequence[Factors | None], widths: Sequence[int], dtype: torch.dtype) -> Factors:
    """Return the factors of several projections side by side."""
    present = [part for part in parts if part is not None]
    down = torch.cat([A for A, _ in present])
    up = down.new_zeros(sum(widths), down.shape[0])
    row = column = 0
    for part, width in zip(parts, widths, strict=True):
        if part is not None:
            B = part[1]
            up[row : row + width, column : column + B.shape[1]] = B
            column += B.shape[1]
        row += width
    return down.to(dtype), up.to(dtype)
