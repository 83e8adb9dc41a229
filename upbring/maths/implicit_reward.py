"""The implicit reward of a policy: log-probabilities and log-odds of whole responses.

A response's log-probability is the sum or the mean over its tokens. `token_mask` (1 or 0 per token)
selects the tokens; without it, all weighted tokens count.

Left out: the losses over pairs and rankings (`preference_losses.py`).
"""

import math

import torch
from torch import Tensor

from upbring.maths.ranking_losses import Pairs, all_pairs
from upbring.maths.segment_sums import segment_sum


def sum_by_branch(
    values: Tensor, branch: Tensor, num_branches: int, *, token_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sum `[N]` of values `[R]` over each branch's unmasked tokens, and their number.

    A NaN in `token_mask` counts as 1.

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


def extreme_pairs(
    rank: Tensor,
    tree: Tensor,
    *,
    probability: Tensor | None = None,
    row_weight: Tensor | None = None,
) -> Pairs:
    """Return one pair per ranking: its best and its worst branch; the first of equal ranks.

    The arguments are those of `all_pairs`.

    >>> pairs = extreme_pairs(torch.tensor([2.0, 1.0, 3.0]), torch.tensor([0, 0, 0]))
    >>> pairs.better.tolist(), pairs.worse.tolist()
    ([1], [2])
    """
    candidates = all_pairs(rank, tree, probability=probability, row_weight=row_weight)
    gap = (rank[candidates.worse] - rank[candidates.better]).tolist()
    widest: dict[int, int] = {}
    for index, tree_id in enumerate(candidates.tree.tolist()):
        if tree_id not in widest or gap[index] > gap[widest[tree_id]]:
            widest[tree_id] = index
    selected = torch.tensor(sorted(widest.values()), dtype=torch.int64, device=rank.device)
    return candidates.select(selected)


def best_branches(rank: Tensor, tree: Tensor) -> Tensor:
    """Return a mask `[N]` of the best branch of each ranking; the first of equal ranks.

    >>> best_branches(torch.tensor([2.0, 1.0, 1.0]), torch.tensor([0, 0, 0])).tolist()
    [False, True, False]
    """
    best_by_tree: dict[int, tuple[float, int]] = {}
    for index, (value, tree_id) in enumerate(zip(rank.tolist(), tree.tolist(), strict=True)):
        if value == value and (value, index) < best_by_tree.get(tree_id, (float("inf"), 0)):  # noqa: PLR0124 -- false for NaN
            best_by_tree[tree_id] = (value, index)
    is_best = torch.zeros(len(rank), dtype=torch.bool, device=rank.device)
    is_best[[index for _, index in best_by_tree.values()]] = True
    return is_best


def log_odds(mean_logprobs: Tensor) -> Tensor:
    """Return log p/(1 − p) `[N]` for p = exp(mean log-probability) `[N]`, all below 0."""
    return mean_logprobs - log1mexp(mean_logprobs)


def log1mexp(x: Tensor) -> Tensor:
    """Return log(1 − eˣ) for x < 0 without loss of precision (Mächler 2012, equation 7).

    At x = 0 the result would be −∞, so x is clamped just below 0.
    """
    x = x.clamp_max(-torch.finfo(x.dtype).eps)
    is_near = x > -math.log(2)
    near = torch.log(-torch.expm1(torch.where(is_near, x, -1.0)))
    far = torch.log1p(-torch.exp(torch.where(is_near, -1.0, x)))
    return torch.where(is_near, near, far)
