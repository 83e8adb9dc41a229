"""Parts of transformers' layers in fewer passes over their numbers: norms, and rotary positions.

    y = w ∘ x̂,  x̂ = ρ x,  ρ = (mean(x²) + ε)^(−1/2)          u = w ∘ g
    ∂L/∂x = ρ u − (ρ³ / D) (u · x) x          ∂L/∂w = Σ g ∘ x̂

    y = cos ∘ x + sin ∘ (−x₂, x₁)  with x = (x₁, x₂)
    ∂L/∂x = cos ∘ g + (s₂ ∘ g₂, −s₁ ∘ g₁)  with sin = (s₁, s₂)

A processor spends a tenth of a training step of a small model on them, as they are written. Each
layer keeps its own forward pass, in which only these two are exchanged, and only where they are
found to compute the same.
"""

from collections.abc import Callable
from functools import cache, partial
from types import FunctionType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import rms_norm

ROTARY = "apply_rotary_pos_emb"  # what the modules of transformers' models call it
EPSILON = "variance_epsilon"  # and their norms ε
SHORT_LENGTH = 128  # tokens
_SIGNATURE_ERRORS = (AttributeError, TypeError, ValueError, RuntimeError)
_TOLERANCE = 1e-5  # the largest difference of numbers about 1

TensorPair = tuple[Tensor, Tensor]


class FusedRMSNorm(torch.autograd.Function):
    """RMSNorm (arXiv 1910.07467), of which nothing is kept but its input and one number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, epsilon: float) -> Tensor:  # noqa: ANN401 -- torch's own
        """Return `[…, D]` from x `[…, D]` and w `[D]`."""
        y, rho = normalize_rms(x, w, epsilon)
        ctx.save_for_backward(x, w, rho)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        """Return the gradients of x and w."""
        x, w, rho = ctx.saved_tensors
        x = x.float()
        is_x, is_w, _ = ctx.needs_input_grad
        grad_w = (g * (x * rho)).flatten(0, -2).sum(0).to(w.dtype) if is_w else None
        if not is_x:
            return None, grad_w, None
        u = (g * w).float()
        projection = torch.linalg.vecdot(u, x).unsqueeze(-1) * rho.pow(3) / -x.shape[-1]
        return u.mul_(rho).addcmul_(x, projection).to(g.dtype), grad_w, None


def normalize_rms(x: Tensor, w: Tensor, epsilon: float) -> TensorPair:
    """Return x normalised `[…, D]`, in its number format, and ρ `[…, 1]` in float32."""
    x_float = x.float()
    rho = x_float.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
    return w * (x_float * rho).to(x.dtype), rho


class FusedRotary(torch.autograd.Function):
    """Queries and keys at their rotary positions (arXiv 2104.09864)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> TensorPair:  # noqa: ANN401 -- torch's own
        """Return q `[1, H, T, K]` and k `[1, G, T, K]`, turned by cos and sin `[1, 1, T, K]`."""
        ctx.save_for_backward(cos, sin)
        return apply_rotary(q, k, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_q: Tensor, grad_k: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        """Return the gradients of q and k."""
        cos, sin = ctx.saved_tensors
        s1, s2 = sin.chunk(2, -1)
        return *_rotate(grad_q, grad_k, cos, torch.cat((s2, -s1), -1)), None, None


def apply_rotary(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> TensorPair:
    """Return queries and keys at their positions."""
    s1, s2 = sin.chunk(2, -1)
    return _rotate(q, k, cos, torch.cat((-s1, s2), -1))


def _rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> TensorPair:
    """Return cos ∘ x + sin ∘ (x₂, x₁) of queries and of keys, taken together."""
    if (
        q.shape[2] < SHORT_LENGTH
    ):  # as they came from their products, and as one token of each row is kept
        x = torch.cat((q.transpose(1, 2), k.transpose(1, 2)), 2).transpose(1, 2)
    else:  # as attention multiplies them
        x = torch.cat((q, k), 1)  # [1, H + G, T, K]
    x1, x2 = x.chunk(2, -1)
    out = (x * cos).addcmul_(torch.cat((x2, x1), -1), sin)
    H = q.shape[1]
    return out[:, :H], out[:, H:]


def fuse(network: nn.Module) -> None:
    """Let a network's layers compute their norms and rotary positions so, where they agree."""
    for module in network.modules():
        module.__class__ = _fused_class(type(module))  # type: ignore[arg-type]  # hashable it is


def unfuse(network: nn.Module) -> None:
    """Let a network's layers compute as they are written again."""
    for module in network.modules():
        module.__class__ = getattr(type(module), "written", type(module))


@cache
def _fused_class(kind: type[nn.Module]) -> type[nn.Module]:
    """Return a class of layers with what can be exchanged in it exchanged, or the class itself."""
    forward = kind.forward
    if hasattr(kind, "written"):
        return kind
    if _is_rms_norm(forward):
        fused_forward: Callable[..., Any] = _fused_norm_forward
    elif _uses_standard_rotary(forward):
        fused_forward = _with_fused_rotary(forward)
    else:
        return kind
    names = {"forward": fused_forward, "written": kind, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), names)


def _fused_norm_forward(self: nn.Module, hidden_states: Tensor) -> Tensor:
    """Stand for the forward pass of a norm."""
    x, w, epsilon = hidden_states, self.weight, float(vars(self)[EPSILON])
    assert isinstance(w, Tensor)
    if not torch.is_grad_enabled():  # the same bits in fewer calls, which is what a token costs
        return w * rms_norm(x, w.shape, eps=epsilon).to(x.dtype)
    y: Tensor = FusedRMSNorm.apply(x, w, epsilon)  # type: ignore[no-untyped-call]
    return y


def _with_fused_rotary(forward: Callable[..., Any]) -> FunctionType:
    """Return a forward pass that finds these rotary positions where it looks for its own."""
    assert isinstance(forward, FunctionType)
    names = {**forward.__globals__, ROTARY: partial(_fused_rotary, forward.__globals__[ROTARY])}
    fused_forward = FunctionType(forward.__code__, names, closure=forward.__closure__)
    fused_forward.__defaults__, fused_forward.__kwdefaults__ = (
        forward.__defaults__,
        forward.__kwdefaults__,
    )
    return fused_forward


def _fused_rotary(
    original: Callable[..., TensorPair],
    q: Tensor,
    k: Tensor,
    cos: Tensor,
    sin: Tensor,
    unsqueeze_dim: int = 1,
) -> TensorPair:
    """Stand for transformers' function of this meaning, where positions turn whole heads."""
    if cos.shape[-1] != q.shape[-1]:
        return original(q, k, cos, sin, unsqueeze_dim=unsqueeze_dim)
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    if not torch.is_grad_enabled():
        return apply_rotary(q, k, cos, sin)
    rotated: TensorPair = FusedRotary.apply(q, k, cos, sin)  # type: ignore[no-untyped-call]
    return rotated


@torch.no_grad()
def _is_rms_norm(forward: Callable[..., Any]) -> bool:
    """Whether a forward pass is that of an RMSNorm as it is written here, bit for bit."""
    if not isinstance(forward, FunctionType) or EPSILON not in forward.__code__.co_names:
        return False
    x, w = torch.linspace(-2, 3, 16).view(2, 8), torch.linspace(0.5, 1.5, 8)
    for dtype in (torch.float32, torch.bfloat16):
        norm = SimpleNamespace(**{"weight": w.to(dtype), EPSILON: 0.1})
        try:
            expected = forward(norm, x.to(dtype))
        except _SIGNATURE_ERRORS:
            return False
        if not torch.equal(expected, normalize_rms(x.to(dtype), norm.weight, 0.1)[0]):
            return False
    return True


@torch.no_grad()
def _uses_standard_rotary(forward: Callable[..., Any]) -> bool:
    """Whether a forward pass asks for rotary positions as they are written here."""
    if not isinstance(forward, FunctionType) or ROTARY not in forward.__code__.co_names:
        return False
    original: Any = forward.__globals__.get(ROTARY)
    x = torch.linspace(-2, 3, 96).view(1, 3, 4, 8)
    angles = torch.linspace(0, 2, 16).view(1, 4, 4).repeat(1, 1, 2)
    arguments = x[:, :2], x[:, 2:], angles.cos(), angles.sin()
    try:
        expected = original(*arguments)
    except _SIGNATURE_ERRORS:
        return False
    return all(map(_is_close, expected, _fused_rotary(original, *arguments)))


def _is_close(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and bool(((left - right).abs() <= _TOLERANCE).all())
