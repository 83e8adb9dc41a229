"""Metrics whose value before the first update is known: another value is an error of computation.

The policy is still the model that sampled the first round, and its own reference. Left out: rewards
and losses, which may have any value.
"""

from collections.abc import Mapping

# A mean difference of log-probabilities that must be 0, in roundings of one of them.
ROUNDINGS = 5.0
FLOAT32_KL = 1e-6  # nats per token, of k3 computed in float32


def on_policy_limits(rounding: float, mean_length: float) -> dict[str, float]:
    """Return the limit of each metric of the first step on sampled responses."""
    limit = ROUNDINGS * rounding
    # k3 of a difference d is about d²/2 per token
    kl = mean_length * (limit**2 + FLOAT32_KL)
    return {"sampler_gap": limit, "log_ratio": limit, "kl": kl}


def preference_limits(rounding: float) -> dict[str, float]:
    """Return the limit of each metric of the first step on comparisons with a reference."""
    limit = ROUNDINGS * rounding
    return {"chosen_logratio": limit, "rejected_logratio": limit}


def impossible_metric(values: Mapping[str, float], limits: Mapping[str, float]) -> str | None:
    """Return which metric is above its limit, or None.

    >>> impossible_metric({"kl": 0.5}, {"kl": 0.01, "log_ratio": 0.1})
    'kl is 0.5 before the first update, where it is at most 0.01'
    """
    return next(
        (
            f"{name} is {values[name]:.3g} before the first update, where it is at most {limit:.1g}"
            for name, limit in limits.items()
            if abs(values.get(name, 0.0)) > limit
        ),
        None,
    )
