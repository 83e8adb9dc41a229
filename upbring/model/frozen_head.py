"""Log-probabilities under a head that does not learn: its gradient is ready after the forward pass.

    ∂ log p(t | h) / ∂h = W_t − Σ_v p(v | h) W_v = (onehot(t) − p) W

The softmax is there when the log-probability is, so this row of D numbers is computed then and kept
in place of V logits: nothing of the vocabulary's size outlives a chunk, and nothing is computed
again in the backward pass.

Left out: entropy, and heads that learn, have a bias, or are followed by a transform of the logits;
`score` computes those.
"""

from typing import Any

import torch
from torch import Tensor

ROWS = 128  # of logits at once: they stay in the processor's cache


class FrozenHead(torch.autograd.Function):
    """log softmax(h Wᵀ) at the targets."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:  # noqa: ANN401 -- torch's own
        """Return the log-probability `[R]` of `target` `[R]` for hidden states `[R, D]`."""
        kind = torch.promote_types(hidden.dtype, torch.float32)
        logprobs = hidden.new_empty(len(target), dtype=kind)
        slope = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None  # [R, D]
        for start in range(0, len(target), ROWS):
            rows = slice(start, start + ROWS)
            chosen = target[rows].unsqueeze(-1)
            every = (hidden[rows] @ weight.t()).to(kind)  # [C, V]
            every -= every.amax(-1, keepdim=True)
            said = every.gather(-1, chosen)
            total = every.exp_().sum(-1, keepdim=True)
            logprobs[rows] = (said - total.log()).squeeze(-1)
            if slope is not None:  # (Σ p · onehot − p) W, and Σ p is taken out of the product
                every.scatter_add_(-1, chosen, -total)
                torch.mm(every.to(weight.dtype), weight, out=slope[rows])
                slope[rows] /= -total
        ctx.save_for_backward(slope)
        return logprobs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 -- as above
        """Return the gradient of the hidden states."""
        (slope,) = ctx.saved_tensors
        return gradient.unsqueeze(-1).to(slope.dtype) * slope, None, None


def logprobs(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Return what `weight` `[V, D]` says `[R]` of `target` `[R]` at `hidden` `[R, D]`."""
    said: Tensor = FrozenHead.apply(hidden, weight, target)  # type: ignore[no-untyped-call]
    return said
