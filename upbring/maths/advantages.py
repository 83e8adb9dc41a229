"""Advantages of tokens and responses, from rewards and values.

All tensors are ragged: tokens `[R]` are ordered by branch, branches `[N]` by tree.
"""

import torch
from torch import Tensor

from upbring.maths.segment_sums import segment_mean, segment_sum

STD_EPSILON = 1e-4  # added to a group's standard deviation, as in TRL


def gae(rewards: Tensor, values: Tensor, branch: Tensor, *, gamma: float, lam: float) -> Tensor:
    """Return the generalized advantage estimate `[R]`; the last token of a branch is terminal.

    >>> branch = torch.tensor([0, 0, 1])
    >>> gae(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 0.5, 0.5]), branch, gamma=1, lam=1)
    tensor([0.5000, 0.5000, 1.5000])
    """
    # δ_t = r_t + γ V(s_{t+1}) − V(s_t)                      (Schulman et al. 2016, equation 10)
    # Â_t = Σ_l (γλ)^l δ_{t+l} = δ_t + γλ Â_{t+1}                                 (equation 16)
    has_next = torch.zeros_like(values)  # [R], 1 if the next token has the same branch
    has_next[:-1] = (branch[1:] == branch[:-1]).to(values.dtype)
    next_values = torch.roll(values, -1) * has_next  # [R]
    deltas = rewards + gamma * next_values - values  # [R]
    advantages = []
    advantage = 0.0
    factors = (gamma * lam * has_next).tolist()
    for delta, factor in zip(reversed(deltas.tolist()), reversed(factors), strict=True):
        advantage = delta + factor * advantage
        advantages.append(advantage)
    return torch.tensor(advantages[::-1], dtype=values.dtype, device=values.device)


def group_relative_advantages(
    rewards: Tensor, group: Tensor, num_groups: int, *, is_scaled: bool
) -> Tensor:
    """Return each reward `[N]` minus its group's mean, divided by the standard deviation if scaled.

    The standard deviation is the unbiased one. A group of one response, or of equal rewards, has
    advantage 0.
    """
    # Â_i = (r_i − mean(r)) / std(r)                              (Shao et al. 2024, §4.1.2)
    shifted = _above_group_minimum(rewards, group, num_groups)
    centered = shifted - segment_mean(shifted, group, num_groups)[group]  # [N]
    if not is_scaled:
        return centered.to(rewards.dtype)
    sizes = segment_sum(torch.ones_like(centered), group, num_groups)  # [P]
    variance = segment_sum(centered.square(), group, num_groups) / (sizes - 1).clamp_min(1)  # [P]
    return (centered / (variance.sqrt() + STD_EPSILON)[group]).to(rewards.dtype)


def leave_one_out_advantages(rewards: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Return each reward `[N]` minus the mean of the others in its group, or minus 0 if alone.

    >>> leave_one_out_advantages(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0, 0, 0]), 1).tolist()
    [-3.0, -1.5, 4.5]
    """
    # R(y_i, x) − 1/(k−1) Σ_{j≠i} R(y_j, x)                   (Ahmadian et al. 2024, equation 9)
    sizes = segment_sum(torch.ones_like(rewards), group, num_groups)[group]  # [N]
    shifted = _above_group_minimum(rewards, group, num_groups)
    mean_of_others = (segment_sum(shifted, group, num_groups)[group] - shifted) / (
        sizes - 1
    ).clamp_min(1)
    return torch.where(sizes > 1, shifted - mean_of_others, rewards).to(rewards.dtype)


def _above_group_minimum(rewards: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Return each reward `[N]` minus the lowest of its group, in float64.

    A mean of equal numbers may differ from them by a rounding error, which a division by the
    standard deviation would magnify; a mean of zeros does not.
    """
    lowest = rewards.new_zeros(num_groups).scatter_reduce(
        0, group, rewards, "amin", include_self=False
    )
    return rewards.double() - lowest[group].double()
