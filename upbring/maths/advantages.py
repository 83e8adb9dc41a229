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

    The standard deviation is the unbiased one. A group of one response has advantage 0.
    """
    # Â_i = (r_i − mean(r)) / std(r)                              (Shao et al. 2024, §4.1.2)
    centered = rewards - segment_mean(rewards, group, num_groups)[group]  # [N]
    if not is_scaled:
        return centered
    sizes = segment_sum(torch.ones_like(rewards), group, num_groups)  # [P]
    variance = segment_sum(centered.square(), group, num_groups) / (sizes - 1).clamp_min(1)  # [P]
    return centered / (variance.sqrt() + STD_EPSILON)[group]


def leave_one_out_advantages(rewards: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Return each reward `[N]` minus the mean of the others in its group, or minus 0 if alone.

    >>> leave_one_out_advantages(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0, 0, 0]), 1).tolist()
    [-3.0, -1.5, 4.5]
    """
    # R(y_i, x) − 1/(k−1) Σ_{j≠i} R(y_j, x)                   (Ahmadian et al. 2024, equation 9)
    sizes = segment_sum(torch.ones_like(rewards), group, num_groups)[group]  # [N]
    mean_of_others = (segment_sum(rewards, group, num_groups)[group] - rewards) / (
        sizes - 1
    ).clamp_min(1)
    return rewards - mean_of_others
