"""Log-probabilities under a frozen head, whose gradient is computed in the forward pass.

    ∂ log p(t | h) / ∂h = W_t − Σ_v p(v | h) W_v = (onehot(t) − p) W

The forward pass has the softmax anyway, so it computes this row of D numbers and saves it instead
of V logits: no tensor of vocabulary size outlives a chunk, and the backward pass recomputes
nothing.

Excluded: entropy, and heads that are trainable, have a bias, or are followed by a transform of the
logits; `score` computes those.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CONVERTED_ROWS = 8192  # of a weight in another dtype, at once
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
            logits = project(hidden[rows], weight).to(dtype)  # [C, V]
            logits -= logits.amax(-1, keepdim=True)
            target_logits = logits.gather(-1, target_ids)
            normalizer = logits.exp_().sum(-1, keepdim=True)
            logprobs[rows] = (target_logits - normalizer.log()).squeeze(-1)
            if grad_hidden is not None:  # (e − onehot Σe) W / −Σe = (onehot − p) W
                logits.scatter_add_(-1, target_ids, -normalizer)
                _multiply(logits.to(hidden.dtype), weight, out=grad_hidden[rows])
                grad_hidden[rows] /= -normalizer
        ctx.save_for_backward(grad_hidden)
        return logprobs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 -- as above
        """Return the gradient of the hidden states."""
        (grad_hidden,) = ctx.saved_tensors
        return gradient.unsqueeze(-1).to(grad_hidden.dtype) * grad_hidden, None, None


def project(hidden: Tensor, weight: Tensor) -> Tensor:
    """Return hidden Wᵀ `[C, V]`; a weight of another dtype is converted a slice at a time."""
    if weight.dtype == hidden.dtype:
        return hidden @ weight.t()
    out = hidden.new_empty(len(hidden), len(weight))
    for slice_ in _slices(len(weight)):
        out[:, slice_] = hidden @ weight[slice_].to(hidden.dtype).t()
    return out


def _multiply(left: Tensor, weight: Tensor, *, out: Tensor) -> None:
    """Write left W `[C, D]` to `out`, as `project` converts W."""
    if weight.dtype == left.dtype:
        torch.mm(left, weight, out=out)
        return
    out.zero_()
    for slice_ in _slices(len(weight)):
        out.addmm_(left[:, slice_], weight[slice_].to(left.dtype))


def _slices(count: int) -> Iterator[slice]:
    return (slice(start, start + CONVERTED_ROWS) for start in range(0, count, CONVERTED_ROWS))


def logprobs(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Return log-probabilities `[R]` of `target` `[R]` at `hidden` `[R, D]`; weight `[V, D]`."""
    target_logprobs: Tensor = FrozenHead.apply(hidden, weight, target)  # type: ignore[no-untyped-call]
    return target_logprobs
