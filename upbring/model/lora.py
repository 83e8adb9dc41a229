"""PEFT's LoRA layer with the products of one adapter taken together.

    y = x Wᵀ + b + (x Âᵀ) Bᵀ            Â = s A,  A [r, in],  B [out, r]
    ∂L/∂B = gᵀ u,   ∂L/∂Â = vᵀ x,   ∂L/∂x = g W + v Â      with u = x Âᵀ, v = g B

Both sums are added into the base's product in place, and nothing of the layer's width is kept for
the backward pass but x. Everything else of the layer is PEFT's: its files, merging, and the forward
pass of DoRA, of transposed weights, and on a base that learns.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn


def adapted(
    x: Tensor, W: Tensor, bias: Tensor | None, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """Return `[T, out]` from x `[T, in]`, and what lies between the two low factors `[T, r]`."""
    u = x @ low.t()
    y = x @ W.t() if bias is None else torch.addmm(bias, x, W.t())
    return y.addmm_(u, high.t()), u


class Adapted(torch.autograd.Function):
    """A frozen linear map and a low-rank one beside it."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 -- torch's own
        x: Tensor,
        W: Tensor,
        bias: Tensor | None,
        A: Tensor,
        B: Tensor,
        scale: float,
    ) -> Tensor:
        """Return `[…, out]` from x `[…, in]`."""
        flat = x.reshape(-1, x.shape[-1])
        low, high = A.to(x.dtype) * scale, B.to(x.dtype)
        y, u = adapted(flat, W, bias, low, high)
        ctx.save_for_backward(flat, W, low, high, u)
        ctx.scale, ctx.shape, ctx.kinds = scale, x.shape, (A.dtype, B.dtype)
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        """Return the gradients of x, A and B."""
        flat, W, low, high, u = ctx.saved_tensors
        g = gradient.reshape(-1, gradient.shape[-1])
        v = g @ high
        is_x, _, _, is_A, is_B, _ = ctx.needs_input_grad
        of_x = (g @ W).addmm_(v, low).view(ctx.shape) if is_x else None
        of_A = (v.t() @ flat).to(ctx.kinds[0]) * ctx.scale if is_A else None
        of_B = (u.t() @ g).t().to(ctx.kinds[1]) if is_B else None  # g as it lies: faster
        return of_x, None, None, of_A, of_B, None


class Voice:
    """Which adapter speaks in a thread; none: the base does. Threads do not hear one another."""

    def __init__(self) -> None:
        self._of: dict[int, str] = {}

    def set(self, role: str | None) -> None:
        """Let an adapter speak in this thread, or the base."""
        if role is None:
            self._of.pop(get_ident(), None)
        else:
            self._of[get_ident()] = role

    def get(self) -> str | None:
        """Return who speaks in this thread."""
        return self._of.get(get_ident())


Factors = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Factors in a number format, as long as the weights they were made of stay what they were."""

    A: Tensor
    B: Tensor
    versions: tuple[int, int]
    kind: torch.dtype
    factors: Factors

    def holds(self, A: Tensor, B: Tensor, kind: torch.dtype) -> bool:
        """Whether these are the factors of A and B as they are now."""
        is_same = self.A is A and self.B is B and self.kind == kind
        return is_same and self.versions == (A._version, B._version)  # noqa: SLF001 -- torch has no public one


class AdaptedLinear(Linear):  # type: ignore[misc]  # peft has no types
    """A linear layer with adapters, of which at most one speaks."""

    voice: Voice  # shared by the layers of a model
    kept: Kept | None = None

    @property
    def disable_adapters(self) -> bool:
        """Whether the base speaks."""
        return self.voice.get() is None

    @property
    def active_adapter(self) -> list[str]:
        """Who speaks, or would if it were not the base."""
        role = self.voice.get()
        return list(self._active_adapter) if role is None else [role]

    def forward(self, x: Tensor, *more: Any, **named: Any) -> Tensor:  # noqa: ANN401 -- as PEFT has it
        """Return the layer's output, with the speaking adapter's added."""
        role = self._alone()
        if role is None or more or named:
            out: Tensor = super().forward(x, *more, **named)
            return out
        kind = x.device.type
        is_cast = torch.is_autocast_enabled(kind)
        if is_cast:
            x = x.to(torch.get_autocast_dtype(kind))
        base: nn.Linear = self.get_base_layer()
        W: Tensor = base.weight.to(x.dtype)
        bias = None if base.bias is None else base.bias.to(x.dtype)
        A, B, scale = self.lora_A[role].weight, self.lora_B[role].weight, self.scaling[role]
        with torch.autocast(kind, enabled=False) if is_cast else nullcontext():
            if torch.is_grad_enabled():
                said: Tensor = Adapted.apply(x, W, bias, A, B, scale)  # type: ignore[no-untyped-call]
                return said
            # the same products without autograd's books, which cost as much as a row's products
            flat = x.reshape(-1, x.shape[-1])
            out, _ = adapted(flat, W, bias, *self._factors(A, B, scale, x.dtype))
        return out.view(*x.shape[:-1], -1)

    def _factors(self, A: Tensor, B: Tensor, scale: float, kind: torch.dtype) -> Factors:
        """Return Â and B in a number format; a response asks for the same at every token."""
        kept = self.kept
        if kept is None or not kept.holds(A, B, kind):
            versions = (A._version, B._version)  # noqa: SLF001 -- as above
            kept = self.kept = Kept(A, B, versions, kind, (A.to(kind) * scale, B.to(kind)))
        return kept.factors

    def _alone(self) -> str | None:
        """Return the one plain adapter that speaks on a frozen layer, if that is how it is."""
        role = self.voice.get()
        if role is None or self.merged:
            return None
        is_plain = role in self.lora_A and not self.use_dora.get(role, False)
        base = self.get_base_layer()
        is_frozen = type(base) is nn.Linear and not base.weight.requires_grad
        return role if is_plain and is_frozen and not self.fan_in_fan_out else None
