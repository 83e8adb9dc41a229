"""KL divergence between policy and reference: per-token estimators and the adaptive coefficient.

The estimators are from Schulman 2020, “Approximating KL divergence”; the controller is from Ziegler
et al. 2019, §2.2.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

MAX_RELATIVE_ERROR = 0.2  # the controller clips the relative error to ± this value


def k1(policy: Tensor, reference: Tensor) -> Tensor:
    """Return log π − log π_ref `[R]`: unbiased, often negative."""
    return policy - reference


def k2(policy: Tensor, reference: Tensor) -> Tensor:
    """Return (log π − log π_ref)² / 2 `[R]`: never negative, biased if the two are far apart."""
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
    """Return the next KL coefficient β, after `num_responses` responses with mean KL `kl` in nats.

    >>> adapt_kl_weight(1.0, 12.0, target=6.0, num_responses=500, horizon=1000.0)
    1.1
    """
    # e = clip(KL / target − 1, −0.2, 0.2),   β ← β (1 + e · n / horizon)
    error = max(-MAX_RELATIVE_ERROR, min(MAX_RELATIVE_ERROR, kl / target - 1))
    return weight * (1 + error * num_responses / horizon)
