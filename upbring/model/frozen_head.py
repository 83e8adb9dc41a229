"""Log-probabilities under a frozen head, whose gradient is computed in the forward pass.

    ∂ log p(t | h) / ∂h = W_t − Σ_v p(v | h) W_v = (onehot(t) − p) W

The forward pass has the softmax anyway, so it computes this row of D numbers and saves it instead
of V logits: no tensor of vocabulary size outlives a chunk, and the backward pass recomputes
nothing.

Excluded: entropy, and heads that are trainable, have a bias, or are followed by a transform of the
logits; `score` computes those.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK_ROWS = 128  # rows of logits at once, so that they fit in the CPU cache


class FrozenHead(torch.autograd.Function):
    """log softmax(h Wᵀ) at the targets."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:  # noqa: ANN401 -- torch's context is untyped
        """Return the log-probability `[R]` of `target` `[R]` for hidden states `[R, D]`."""
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        logprobs = hidden.new_empty(len(target), dtype=dtype)
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None  # [R, D]
        for start in range(0, len(target), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            target_ids = target[rows].unsqueeze(-1)
            logits = (hidden[rows] @ weight.t()).to(dtype)  # [C, V]
            logits -= logits.amax(-1, keepdim=True)
            target_logits = logits.gather(-1, target_ids)
            normalizer = logits.exp_().sum(-1, keepdim=True)
            logprobs[rows] = (target_logits - normalizer.log()).squeeze(-1)
            if grad_hidden is not None:  # (e − onehot Σe) W / −Σe = (onehot − p) W
                logits.scatter_add_(-1, target_ids, -normalizer)
                torch.mm(logits.to(weight.dtype), weight, out=grad_hidden[rows])
                grad_hidden[rows] /= -normalizer
        ctx.save_for_backward(grad_hidden)
        return logprobs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 -- as above
        """Return the gradient of the hidden states."""
        (grad_hidden,) = ctx.saved_tensors
        return gradient.unsqueeze(-1).to(grad_hidden.dtype) * grad_hidden, None, None


def logprobs(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Return log-probabilities `[R]` of `target` `[R]` at `hidden` `[R, D]`; weight `[V, D]`."""
    target_logprobs: Tensor = FrozenHead.apply(hidden, weight, target)  # type: ignore[no-untyped-call]
    return target_logprobs
