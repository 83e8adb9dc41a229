"""How much better a token or a response was than expected, from rewards and values.

Everything is ragged: tokens `[R]` lie end to end by branch, branches `[N]` by tree.
"""

import torch
from torch import Tensor

from upbring.maths.segments import means, sums

EPSILON = 1e-4  # added to a group's standard deviation, as in TRL


def gae(
    rewards: Tensor, values: Tensor, branch: Tensor, *, discount: float, decay: float
) -> Tensor:
    """Return the generalised advantage `[R]` of every token; a branch's last one ends it.

    >>> one = torch.tensor([0, 0, 1])
    >>> gae(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 0.5, 0.5]), one, discount=1, decay=1)
    tensor([0.5000, 0.5000, 1.5000])
    """
    # δ_t = r_t + γ V(s_{t+1}) − V(s_t)                      (Schulman et al. 2016, equation 10)
    # Â_t = Σ_l (γλ)^l δ_{t+l} = δ_t + γλ Â_{t+1}                                 (equation 16)
    goes_on = torch.zeros_like(values)  # [R], 1 where the next token is of the same branch
    goes_on[:-1] = (branch[1:] == branch[:-1]).to(values.dtype)
    following = torch.roll(values, -1) * goes_on  # [R]
    deltas = rewards + discount * following - values  # [R]
    found = []
    later = 0.0
    factors = (discount * decay * goes_on).tolist()
    for delta, factor in zip(reversed(deltas.tolist()), reversed(factors), strict=True):
        later = delta + factor * later
        found.append(later)
    return torch.tensor(found[::-1], dtype=values.dtype, device=values.device)


def relative(rewards: Tensor, group: Tensor, count: int, *, is_scaled: bool) -> Tensor:
    """Return how much better each response `[N]` is than its group's mean, in deviations if scaled.

    The standard deviation is the unbiased one; of one response alone there is none.
    """
    # Â_i = (r_i − mean(r)) / std(r)                              (Shao et al. 2024, §4.1.2)
    centred = rewards - means(rewards, group, count)[group]  # [N]
    if not is_scaled:
        return centred
    sizes = sums(torch.ones_like(rewards), group, count)  # [P]
    variance = sums(centred.square(), group, count) / (sizes - 1).clamp_min(1)  # [P]
    return centred / (variance.sqrt() + EPSILON)[group]


def left_out(rewards: Tensor, group: Tensor, count: int) -> Tensor:
    """Return how much better each response `[N]` is than the mean of its group's others, or than 0.

    >>> left_out(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0, 0, 0]), 1).tolist()
    [-3.0, -1.5, 4.5]
    """
    # R(y_i, x) − 1/(k−1) Σ_{j≠i} R(y_j, x)                   (Ahmadian et al. 2024, equation 9)
    sizes = sums(torch.ones_like(rewards), group, count)[group]  # [N]
    others = (sums(rewards, group, count)[group] - rewards) / (sizes - 1).clamp_min(1)
    return rewards - others
