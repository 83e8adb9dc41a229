"""A short tree's attention as one masked product, instead of one per branch.

A query sees the prompt's tokens before it and, in a branch, the branch's own tokens before it. The
other branches are hidden by a bias of −∞, so the product is larger than needed, but there is one of
it: with many short responses to a prompt, starting products takes longer than computing them.
"""

import itertools
from functools import lru_cache

import torch
from torch import Tensor

from upbring.data.trees.batch import TreeSpan
from upbring.model.kernels import matmul_attention
from upbring.model.kernels.matmul_attention import (
    BLOCK_SIZE,
    MAX_TOKENS,
    MatmulAttention,
    causal_mask,
)

# What it takes to start the products of a sequence, in scores computed meanwhile (docs/log.md).
SCORES_PER_START = 4_000


def is_one_product_faster(span: TreeSpan) -> bool:
    """Whether all sequences of a tree are faster as one masked product.

    >>> is_one_product_faster(TreeSpan(0, 40, (9,) * 8)), is_one_product_faster(
    ...     TreeSpan(0, 100, (60,) * 8)
    ... )
    (True, False)
    """
    P, lengths = span.prompt_length, span.branch_lengths
    T = P + sum(lengths)
    if len(lengths) < 2 or T > MAX_TOKENS:  # noqa: PLR2004 -- one branch is a sequence already
        return False
    ends = [min(first + BLOCK_SIZE, T) for first in range(0, T, BLOCK_SIZE)]  # of blocks of queries
    whole = sum((end - first) * end for first, end in itertools.pairwise([0, *ends]))
    separate = P * P + sum(C * (P + C) for C in lengths)
    return whole - separate < SCORES_PER_START * (1 + len(lengths) - len(ends))


def attend_whole_tree(
    q: Tensor, k: Tensor, v: Tensor, span: TreeSpan, *, scaling: float, window: int | None
) -> Tensor:
    """Return `[H, T, K]` from q `[H, T, K]` and k, v `[G, T, K]` of a tree's T tokens."""
    bias = _tree_bias(span.prompt_length, span.branch_lengths, window, q.dtype, q.device)
    # a bias everywhere, as with a window: earlier branches are hidden too
    out: Tensor = MatmulAttention.apply(q, k, v, bias, scaling, True)  # type: ignore[no-untyped-call]  # noqa: FBT003 -- autograd takes no keywords
    return out


def clear_biases() -> None:
    """Forget all biases, those of single sequences too."""
    _tree_bias.cache_clear()
    matmul_attention.causal_bias.cache_clear()


@lru_cache(maxsize=256)
def _tree_bias(
    prompt_length: int,
    branch_lengths: tuple[int, ...],
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Return `[T, T]`: 0 where a token may attend to another, else −∞."""
    T = prompt_length + sum(branch_lengths)
    is_seen = torch.zeros(T, T, dtype=torch.bool, device=device)
    P = prompt_length
    is_seen[:P, :P] = causal_mask(P, P, window, device)
    start = P
    for C in branch_lengths:
        own, seen = slice(start, start + C), causal_mask(C, P + C, window, device)
        is_seen[own, :P], is_seen[own, own] = seen[:, :P], seen[:, P:]
        start += C
    return torch.zeros(T, T, dtype=dtype, device=device).masked_fill_(~is_seen, -torch.inf)
