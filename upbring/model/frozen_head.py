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

CHUNK_ROWS = 128  # of logits at once: they stay in the processor's cache


class FrozenHead(torch.autograd.Function):
    """log softmax(h Wᵀ) at the targets."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:  # noqa: ANN401 -- torch's own
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
            if grad_hidden is not None:  # (Σ p · onehot − p) W, and Σ p is taken out of the product
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
    """Return what `weight` `[V, D]` says `[R]` of `target` `[R]` at `hidden` `[R, D]`."""
    target_logprobs: Tensor = FrozenHead.apply(hidden, weight, target)  # type: ignore[no-untyped-call]
    return target_logprobs
