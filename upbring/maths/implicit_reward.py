"""The reward that a policy carries in itself: what it thinks of whole responses, and of their odds.

A response's log-probability is the sum over its tokens that count, or their mean. Which tokens
count is told by `token_mask` (1 or 0 of each); without it all weighted ones do.

Left out: the losses. Those over pairs and rankings stand in `preference`.
"""

import math

import torch
from torch import Tensor

from upbring.maths.preference_losses import Pairs, all_pairs
from upbring.maths.segments import segment_sum


def sum_by_branch(
    values: Tensor, branch: Tensor, num_branches: int, *, token_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sum `[N]` of values `[R]` over each branch's tokens that count, and how many do.

    >>> total, length = sum_by_branch(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), 2)
    >>> total.tolist(), length.tolist()
    ([3.0, 4.0], [2.0, 1.0])
    """
    weight = (
        torch.ones_like(values) if token_mask is None else token_mask.to(values).nan_to_num(1.0)
    )
    return segment_sum(values * weight, branch, num_branches), segment_sum(
        weight, branch, num_branches
    )


def extreme_pairs(rank: Tensor, tree: Tensor) -> Pairs:
    """Return one pair of each ranking: its best branch and its worst, of equals the first.

    >>> found = extreme_pairs(torch.tensor([2.0, 1.0, 3.0]), torch.tensor([0, 0, 0]))
    >>> found.better.tolist(), found.worse.tolist()
    ([1], [2])
    """
    candidates = all_pairs(rank, tree)
    gap = (rank[candidates.worse] - rank[candidates.better]).tolist()
    widest: dict[int, int] = {}
    for index, tree_id in enumerate(candidates.tree.tolist()):
        if tree_id not in widest or gap[index] > gap[widest[tree_id]]:
            widest[tree_id] = index
    selected = torch.tensor(sorted(widest.values()), dtype=torch.int64, device=rank.device)
    return Pairs(
        candidates.better[selected],
        candidates.worse[selected],
        candidates.tree[selected],
        candidates.is_tie[selected],
    )


def best_branches(rank: Tensor, tree: Tensor) -> Tensor:
    """Return which branches `[N]` are the best of their ranking, of equals the first.

    >>> best_branches(torch.tensor([2.0, 1.0, 1.0]), torch.tensor([0, 0, 0])).tolist()
    [False, True, False]
    """
    best_by_tree: dict[int, tuple[float, int]] = {}
    for index, (value, tree_id) in enumerate(zip(rank.tolist(), tree.tolist(), strict=True)):
        if value == value and (value, index) < best_by_tree.get(tree_id, (float("inf"), 0)):  # noqa: PLR0124 -- NaN is not itself
            best_by_tree[tree_id] = (value, index)
    is_best = torch.zeros(len(rank), dtype=torch.bool, device=rank.device)
    is_best[[place for _, place in best_by_tree.values()]] = True
    return is_best


def log_odds(mean_logprobs: Tensor) -> Tensor:
    """Return log p/(1 − p) `[N]` of p = exp of the mean log-probabilities `[N]`, all below 0."""
    return mean_logprobs - log1mexp(mean_logprobs)


def log1mexp(x: Tensor) -> Tensor:
    """Return log(1 − eˣ) for x < 0, by whichever form loses no digits (Mächler 2012, equation 7).

    At x = 0 it is −∞; a probability that rounds to 1 is held just below it.
    """
    x = x.clamp_max(-torch.finfo(x.dtype).eps)
    is_near = x > -math.log(2)
    near = torch.log(-torch.expm1(torch.where(is_near, x, -1.0)))
    far = torch.log1p(-torch.exp(torch.where(is_near, -1.0, x)))
    return torch.where(is_near, near, far)
