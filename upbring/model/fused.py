"""Parts of transformers' layers in fewer passes over their numbers: norms, and rotary positions.

    y = w ∘ x̂,  x̂ = ρ x,  ρ = (mean(x²) + ε)^(−1/2)          u = w ∘ g
    ∂L/∂x = ρ u − (ρ³ / D) (u · x) x          ∂L/∂w = Σ g ∘ x̂

    R(x) = cos ∘ x + sin ∘ (−x₂, x₁)  with x = (x₁, x₂);   its gradient turns the other way

A processor spends a tenth of a training step of a small model on them, as they are written. Each
layer keeps its own forward pass, in which only these two are exchanged, and only where they are
found to compute the same.
"""

from collections.abc import Callable
from functools import cache
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

ROTARY = "apply_rotary_pos_emb"  # what the modules of transformers' models call it
FEW = 128  # tokens
_ASKED_OTHERWISE = (AttributeError, TypeError, ValueError, RuntimeError)
_AGREED = 1e-5  # the largest difference of numbers about 1


class Normalised(torch.autograd.Function):
    """RMSNorm (arXiv 1910.07467), of which nothing is kept but its input and one number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, epsilon: float) -> Tensor:  # noqa: ANN401 -- torch's own
        """Return `[…, D]` from x `[…, D]` and w `[D]`."""
        y, rho = normal(x, w, epsilon)
        ctx.save_for_backward(x, w, rho)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        """Return the gradients of x and w."""
        x, w, rho = ctx.saved_tensors
        x = x.float()
        is_x, is_w, _ = ctx.needs_input_grad
        of_w = (g * (x * rho)).flatten(0, -2).sum(0).to(w.dtype) if is_w else None
        if not is_x:
            return None, of_w, None
        u = (g * w).float()
        along = torch.linalg.vecdot(u, x).unsqueeze(-1) * rho.pow(3) / -x.shape[-1]
        return u.mul_(rho).addcmul_(x, along).to(g.dtype), of_w, None


def normal(x: Tensor, w: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return x normalised `[…, D]`, in its number format, and ρ `[…, 1]` in float32."""
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    rho = size.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    return w * (x.float() * rho).to(x.dtype), rho


class Turned(torch.autograd.Function):
    """Queries and keys at their rotary positions (arXiv 2104.09864)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401 -- torch's own
        """Return q `[1, H, T, K]` and k `[1, G, T, K]`, turned by cos and sin `[1, 1, T, K]`."""
        ctx.save_for_backward(cos, sin)
        return turned(q, k, cos, sin)

    @staticmethod
    def backward(ctx: Any, of_q: Tensor, of_k: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        """Return the gradients of q and k."""
        cos, sin = ctx.saved_tensors
        return *turned(of_q, of_k, cos, -sin), None, None


def turned(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Return R(q) and R(k), taken together; both halves of cos and of sin are alike."""
    H, half = q.shape[1], q.shape[-1] // 2
    if q.shape[2] < FEW:  # as they came from their products, and as one token of each row is kept
        x = torch.cat((q.transpose(1, 2), k.transpose(1, 2)), 2).transpose(1, 2)
    else:  # as attention multiplies them
        x = torch.cat((q, k), 1)  # [1, H + G, T, K]
    signed = torch.cat((-sin[..., :half], sin[..., half:]), -1)
    out = (x * cos).addcmul_(torch.cat((x[..., half:], x[..., :half]), -1), signed)
    return out[:, :H], out[:, H:]


def fuse(network: nn.Module) -> None:
    """Let a network's layers compute their norms and rotary positions so, where they agree."""
    for module in network.modules():
        forward = type(module).forward
        if "variance_epsilon" in vars(module) and _norms(forward):
            module.forward = MethodType(_normalised, module)
        elif _turns(forward):
            module.forward = MethodType(_turning(forward), module)


def unfuse(network: nn.Module) -> None:
    """Let a network's layers compute as they are written again."""
    for module in network.modules():
        vars(module).pop("forward", None)


def _turning(forward: Callable[..., Tensor]) -> FunctionType:
    """Return a forward pass that finds these rotary positions where it looks for its own."""
    assert isinstance(forward, FunctionType)
    names = {**forward.__globals__, ROTARY: _turned}
    own = FunctionType(forward.__code__, names, closure=forward.__closure__)
    own.__defaults__, own.__kwdefaults__ = forward.__defaults__, forward.__kwdefaults__
    return own


def _normalised(self: nn.Module, hidden_states: Tensor) -> Tensor:
    """Stand for the forward pass of a norm."""
    x, w, epsilon = hidden_states, self.weight, self.variance_epsilon
    assert isinstance(w, Tensor)
    assert isinstance(epsilon, float)
    if not torch.is_grad_enabled():  # the same in fewer calls, which is what one token costs
        return w * rms_norm(x, w.shape, eps=epsilon).to(x.dtype)
    y: Tensor = Normalised.apply(x, w, epsilon)  # type: ignore[no-untyped-call]
    return y


def _turned(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    """Stand for transformers' function of this meaning."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    if not torch.is_grad_enabled():
        return turned(q, k, cos, sin)
    both: tuple[Tensor, Tensor] = Turned.apply(q, k, cos, sin)  # type: ignore[no-untyped-call]
    return both


@cache
@torch.no_grad()
def _norms(forward: Callable[..., Tensor]) -> bool:
    """Whether a forward pass is that of an RMSNorm as it is written here."""
    x, w = torch.linspace(-2, 3, 16).view(2, 8), torch.linspace(0.5, 1.5, 8)
    exact, rounded = ((x.to(kind), w.to(kind)) for kind in (torch.float32, torch.bfloat16))
    try:
        theirs, coarse = (
            forward(SimpleNamespace(weight=w, variance_epsilon=0.1), x) for x, w in (exact, rounded)
        )
    except _ASKED_OTHERWISE:
        return False
    is_same = torch.equal(coarse, normal(*rounded, 0.1)[0])  # it is rounded at the same places
    return is_same and _agree(theirs, normal(*exact, 0.1)[0])


@cache
@torch.no_grad()
def _turns(forward: Callable[..., Tensor]) -> bool:
    """Whether a forward pass asks for rotary positions as they are written here."""
    if not isinstance(forward, FunctionType) or ROTARY not in forward.__code__.co_names:
        return False
    theirs: Any = forward.__globals__.get(ROTARY)
    x = torch.linspace(-2, 3, 96).view(1, 3, 4, 8)
    angles = torch.linspace(0, 2, 16).view(1, 4, 4).repeat(1, 1, 2)
    try:
        expected = theirs(x[:, :2], x[:, 2:], angles.cos(), angles.sin())
    except _ASKED_OTHERWISE:
        return False
    return all(map(_agree, expected, _turned(x[:, :2], x[:, 2:], angles.cos(), angles.sin())))


def _agree(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one - other).abs() <= _AGREED).all())
