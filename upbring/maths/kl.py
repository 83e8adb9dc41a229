"""How far the policy is from its reference: estimates per token, and the weight of the penalty.

Schulman 2020, “Approximating KL divergence”; the controller is of Ziegler et al. 2019, §2.2.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

MAX_RELATIVE_ERROR = 0.2  # of the relative error that the controller answers to


def k1(policy: Tensor, reference: Tensor) -> Tensor:
    """Return log π − log π_ref `[R]`: unbiased, and negative as often as not."""
    return policy - reference


def k2(policy: Tensor, reference: Tensor) -> Tensor:
    """Return (log π − log π_ref)² / 2 `[R]`: never negative, biased where the two are far apart."""
    return (policy - reference).square() / 2


def k3(policy: Tensor, reference: Tensor) -> Tensor:
    """Return π_ref/π − 1 − log π_ref/π `[R]`: unbiased and never negative."""
    log_ratio = reference - policy
    return torch.expm1(log_ratio) - log_ratio


KL_ESTIMATORS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"k1": k1, "k2": k2, "k3": k3}
)


def adapt_kl_weight(
    weight: float, kl: float, *, target: float, num_responses: int, horizon: float
) -> float:
    """Return the penalty's next weight β, after `num_responses` responses with a mean KL of `kl` nats.

    >>> adapt_kl_weight(1.0, 12.0, target=6.0, num_responses=500, horizon=1000.0)
    1.1
    """
    # e = clip(KL / target − 1, −0.2, 0.2),   β ← β (1 + e · n / horizon)
    error = max(-MAX_RELATIVE_ERROR, min(MAX_RELATIVE_ERROR, kl / target - 1))
    return weight * (1 + error * num_responses / horizon)
