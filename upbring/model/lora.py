"""PEFT's LoRA layer, with the base and one adapter computed in one autograd function.

    y = x Wᵀ + b + (x Âᵀ) Bᵀ            Â = s A,  A [r, in],  B [out, r]
    ∂L/∂B = gᵀ u,   ∂L/∂Â = vᵀ x,   ∂L/∂x = g W + v Â      with u = x Âᵀ, v = g B

Both sums accumulate in place into the base's product, and x is the only activation of full width
that is saved for the backward pass; a quantized W is computed again. Everything else is PEFT's:
files, merging, and the forward pass of DoRA, of transposed weights, and on a trainable base.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from upbring.model.quantized import QuantizedLinear, is_frozen_linear


def lora_forward(
    x: Tensor, base: nn.Linear, bias: Tensor | None, down: Tensor, up: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return y `[T, out]` and u `[T, r]` from x `[T, in]`, and W unless it is quantized."""
    u, W = x @ down.t(), None
    if isinstance(base, QuantizedLinear):
        y = base.product(x, bias)
    else:
        W = base.weight.to(x.dtype)
        y = F.linear(x, W, bias)
    return y.addmm_(u, up.t()), u, W


class LoraFunction(torch.autograd.Function):
    """A frozen linear map plus a low-rank adapter."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 -- torch's context is untyped
        x: Tensor,
        base: nn.Linear,
        bias: Tensor | None,
        A: Tensor,
        B: Tensor,
        scale: float,
    ) -> Tensor:
        """Return `[T, out]` from x `[T, in]`."""
        down, up = A.to(x.dtype) * scale, B.to(x.dtype)
        y, u, W = lora_forward(x, base, bias, down, up)
        ctx.save_for_backward(x, down, up, u, *([] if W is None else [W]))
        ctx.base = base if W is None else None
        ctx.scale, ctx.kinds = scale, (A.dtype, B.dtype)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        """Return the gradients of x, A and B."""
        x, down, up, u, *saved = ctx.saved_tensors
        v = g @ up
        is_x, _, _, is_A, is_B, _ = ctx.needs_input_grad
        grad_x = None
        if is_x:
            grad_x = g @ saved[0] if saved else ctx.base.transposed_product(g)
            grad_x.addmm_(v, down)
        grad_A = (v.t() @ x).to(ctx.kinds[0]) * ctx.scale if is_A else None
        # gᵀ u as (uᵀ g)ᵀ: faster, because g keeps its memory layout
        grad_B = (u.t() @ g).t().to(ctx.kinds[1]) if is_B else None
        return grad_x, None, None, grad_A, grad_B, None


class ActiveAdapter:
    """The active adapter of each thread; None is the base. Threads are independent."""

    def __init__(self) -> None:
        self._by_thread: dict[int, str] = {}

    def set(self, role: str | None) -> None:
        """Activate an adapter in this thread, or the base."""
        if role is None:
            self._by_thread.pop(get_ident(), None)
        else:
            self._by_thread[get_ident()] = role

    def get(self) -> str | None:
        """Return this thread's active adapter."""
        return self._by_thread.get(get_ident())


FactorPair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class CachedFactors:
    """Factors in the compute dtype, valid while the weights they were cast from are unchanged."""

    A: Tensor
    B: Tensor
    versions: tuple[int, int]
    dtype: torch.dtype
    factors: FactorPair

    def is_current(self, A: Tensor, B: Tensor, dtype: torch.dtype) -> bool:
        """Whether these are the factors of the current A and B."""
        is_same = self.A is A and self.B is B and self.dtype == dtype
        return is_same and self.versions == (A._version, B._version)  # noqa: SLF001 -- torch has no public counter


class AdaptedLinear(Linear):  # type: ignore[misc]  # peft has no types
    """A linear layer with adapters, of which at most one is active."""

    thread_adapter: ActiveAdapter  # shared by all layers of a model
    cached_factors: CachedFactors | None = None

    @property
    def disable_adapters(self) -> bool:
        """Whether the base is active."""
        return self.thread_adapter.get() is None

    @property
    def active_adapter(self) -> list[str]:
        """The active adapter; while the base is active, PEFT's default."""
        role = self.thread_adapter.get()
        return list(self._active_adapter) if role is None else [role]

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 -- PEFT's signature
        """Return the layer's output plus the active adapter's."""
        role = self._fast_path_adapter()
        if role is None or args or kwargs:
            out: Tensor = super().forward(x, *args, **kwargs)
            return out
        device_type = x.device.type
        is_autocast = torch.is_autocast_enabled(device_type)
        if is_autocast:
            x = x.to(torch.get_autocast_dtype(device_type))
        base: nn.Linear = self.get_base_layer()
        bias = None if base.bias is None else base.bias.to(x.dtype)
        A, B, scale = self.lora_A[role].weight, self.lora_B[role].weight, self.scaling[role]
        with torch.autocast(device_type, enabled=False) if is_autocast else nullcontext():
            flat = x.reshape(-1, x.shape[-1])
            # autograd's bookkeeping costs as much as the products of one row
            if torch.is_grad_enabled():
                out = LoraFunction.apply(flat, base, bias, A, B, scale)  # type: ignore[no-untyped-call]
            else:
                factors = self._factors(A, B, scale, x.dtype)
                out, _, _ = lora_forward(flat, base, bias, *factors)
        return out.view(*x.shape[:-1], -1)

    def _factors(self, A: Tensor, B: Tensor, scale: float, dtype: torch.dtype) -> FactorPair:
        """Return Â and B in a dtype, cached because every generated token needs them."""
        cached = self.cached_factors
        if cached is None or not cached.is_current(A, B, dtype):
            versions = (A._version, B._version)  # noqa: SLF001 -- as above
            cached = self.cached_factors = CachedFactors(
                A, B, versions, dtype, (A.to(dtype) * scale, B.to(dtype))
            )
        return cached.factors

    def _fast_path_adapter(self) -> str | None:
        """Return the active adapter if it is plain LoRA on a frozen linear layer, else None."""
        role = self.thread_adapter.get()
        if role is None or self.merged:
            return None
        is_plain = role in self.lora_A and not self.use_dora.get(role, False)
        base = self.get_base_layer()
        return role if is_plain and is_frozen_linear(base) and not self.fan_in_fan_out else None
