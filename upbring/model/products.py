"""Attention by two products, for short texts on processors: one matrix of weights is kept.

    P = softmax(s Q Kᵀ + bias)       O = P V
    ∂L/∂V = Pᵀ G,   ∂L/∂S = P ∘ (dP − rowsum(P ∘ dP)),  dP = G Vᵀ,   ∂L/∂Q = s ∂L/∂S K

Heads that share keys are taken as more queries of one head, so that keys are never repeated.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# Where two plain products are slower than the fused kernel again (bfloat16, 2 cores: a text of 180
# tokens 1.2 ms against 3.3 ms, one of 500 as fast either way).
LONGEST = 512


class Products(torch.autograd.Function):
    """Scaled dot-product attention with an additive bias."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 -- torch's own
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor,
        scaling: float,
    ) -> Tensor:
        """Return `[H, L, K]` from q `[H, L, K]`, k, v `[G, S, K]` and a bias `[L, S]`."""
        G, S, _ = k.shape
        L = q.shape[1]
        queries = (q * scaling).reshape(G, -1, q.shape[-1])  # [G, H/G · L, K]
        scores = torch.bmm(queries, k.transpose(1, 2))
        scores.view(-1, L, S).add_(bias)
        P = scores.softmax(-1)
        out = torch.bmm(P, v)
        ctx.save_for_backward(queries, k, v, P)
        ctx.scaling = scaling
        return out.view(*q.shape[:2], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        """Return the gradients of q, k and v."""
        queries, k, v, P = ctx.saved_tensors
        g = gradient.reshape(*queries.shape[:2], -1)
        of_v = torch.bmm(P.transpose(1, 2), g)
        of_P = torch.bmm(g, v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_P, P, -1, P.dtype)  # noqa: SLF001 -- as softmax does
        of_q = torch.bmm(of_scores, k).mul_(ctx.scaling).view(gradient.shape[0], -1, k.shape[-1])
        return of_q, torch.bmm(of_scores.transpose(1, 2), queries), of_v, None, None


def products(q: Tensor, k: Tensor, v: Tensor, *, scaling: float, window: int | None) -> Tensor:
    """Return `[H, L, K]`: the L queries are the last of the S tokens, and look back only."""
    L, S = q.shape[1], k.shape[1]
    bias = _bias(window, q.dtype, q.device)[S - L : S, :S]
    out: Tensor = Products.apply(q, k, v, bias, scaling)  # type: ignore[no-untyped-call]
    return out


def visible(L: int, S: int, window: int | None, device: torch.device) -> Tensor:
    """Return `[L, S]`: whether query i, the (S − L + i)-th token, sees token j."""
    ones = torch.ones(L, S, dtype=torch.bool, device=device)
    seen = ones.tril(S - L)
    return seen if window is None else seen & ones.triu(S - L - window + 1)


@lru_cache(maxsize=8)
def _bias(window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return `[LONGEST, LONGEST]`: 0 where a token sees another, −∞ elsewhere."""
    hidden = ~visible(LONGEST, LONGEST, window, device)
    return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, -torch.inf)
