"""The reward that a policy carries in itself: what it thinks of whole responses, and of their odds.

A response's log-probability is the sum over its tokens that count, or their mean. Which tokens
count is told by `counts` (1 or 0 of each); without it all weighted ones do.

Left out: the losses. Those over pairs and rankings stand in `preference`.
"""

import math

import torch
from torch import Tensor

from upbring.maths.preference_losses import Pairs, pairs
from upbring.maths.segments import sums


def of_branches(
    values: Tensor, branch: Tensor, count: int, *, counts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sum `[N]` of values `[R]` over each branch's tokens that count, and how many do.

    >>> total, length = of_branches(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), 2)
    >>> total.tolist(), length.tolist()
    ([3.0, 4.0], [2.0, 1.0])
    """
    weight = torch.ones_like(values) if counts is None else counts.to(values).nan_to_num(1.0)
    return sums(values * weight, branch, count), sums(weight, branch, count)


def extremes(rank: Tensor, tree: Tensor) -> Pairs:
    """Return one pair of each ranking: its best branch and its worst, of equals the first.

    >>> found = extremes(torch.tensor([2.0, 1.0, 3.0]), torch.tensor([0, 0, 0]))
    >>> found.better.tolist(), found.worse.tolist()
    ([1], [2])
    """
    every = pairs(rank, tree)
    gap = (rank[every.worse] - rank[every.better]).tolist()
    widest: dict[int, int] = {}
    for place, owner in enumerate(every.tree.tolist()):
        if owner not in widest or gap[place] > gap[widest[owner]]:
            widest[owner] = place
    kept = torch.tensor(sorted(widest.values()), dtype=torch.int64, device=rank.device)
    return Pairs(every.better[kept], every.worse[kept], every.tree[kept], every.is_tie[kept])


def best(rank: Tensor, tree: Tensor) -> Tensor:
    """Return which branches `[N]` are the best of their ranking, of equals the first.

    >>> best(torch.tensor([2.0, 1.0, 1.0]), torch.tensor([0, 0, 0])).tolist()
    [False, True, False]
    """
    highest: dict[int, tuple[float, int]] = {}
    for place, (value, owner) in enumerate(zip(rank.tolist(), tree.tolist(), strict=True)):
        if value == value and (value, place) < highest.get(owner, (float("inf"), 0)):  # noqa: PLR0124 -- NaN is not itself
            highest[owner] = (value, place)
    found = torch.zeros(len(rank), dtype=torch.bool, device=rank.device)
    found[[place for _, place in highest.values()]] = True
    return found


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
