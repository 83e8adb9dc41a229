"""Typical ranges of metrics in healthy runs, for the terminal, verdicts and reports.

A value outside its range is a hint, not an error. `kl` is per response, in nats.
"""

from collections.abc import Mapping
from types import MappingProxyType

from upbring.train.progress import Band

RL_RANGES: Mapping[str, Band] = MappingProxyType(
    {
        "kl": Band(
            None,
            25.0,
            "Responses are far from the reference, where the reward model was never trained: raise "
            "kl_coef, set kl_target or max_kl, or lower learning_rate.",
        ),
        "length_ratio": Band(
            0.5,
            1.5,
            "The length of responses changed; many reward models prefer long ones. Read some with "
            "`upbring rollouts`, and set length_penalty if they ramble.",
        ),
        "ended": Band(
            0.5,
            None,
            "More than half of the responses hit the token limit: raise max_response_length or "
            "missing_eos_penalty.",
        ),
        "entropy": Band(
            0.1,
            None,
            "Responses hardly vary any more, so their rewards hardly differ: lower "
            "learning_rate, or raise kl_coef.",
        ),
        "clip_fraction": Band(
            None,
            0.3,
            "The policy moves too far on one round of rollouts: lower learning_rate or "
            "update_epochs.",
        ),
        "reward_deviation": Band(
            1e-3,
            None,
            "All responses get the same reward, so there is no learning signal: check that the "
            "reward model is right and uses the policy's chat template.",
        ),
    }
)
PREFERENCE_RANGES: Mapping[str, Band] = MappingProxyType(
    {
        "chosen_logratio": Band(
            -0.1,
            None,
            "The preferred responses are less likely than under the reference (likelihood "
            "displacement): their probability moves to responses outside the data. Lower the "
            "learning rate, raise beta, or add a next-token loss on them (nll_weight 0.2).",
        ),
        "kl": Band(
            None,
            25.0,
            "The policy is far from the reference: raise beta, or train for fewer steps.",
        ),
        "accuracy": Band(
            0.6, 0.95, "Near 0.5 the model does not learn; near 1 check for leaked held-out data."
        ),
    }
)


def healthy_range(metric: str, learns_from: str | None) -> Band | None:
    """Return the range of a metric for methods that train on this kind of data, if known.

    >>> healthy_range("ended", "prompts").low, healthy_range("accuracy", "demonstrations")
    (0.5, None)
    """
    if learns_from == "prompts":
        return RL_RANGES.get(metric)
    if learns_from in {"comparisons", "labels"}:
        return PREFERENCE_RANGES.get(metric)
    return None
