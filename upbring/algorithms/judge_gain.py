"""Scores of held-out responses, and how much they gained since the first evaluation.

The same prompts are sampled with the same random keys each time, so the gain is paired by prompt:
the standard error of the differences is smaller than that of the scores.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from upbring.algorithms.rollout_batch import RolloutBatch


def evaluation_scores(rollouts: RolloutBatch, *, kl_coef: float) -> Tensor:
    """Return `[N]`: the judge's scores or, without a judge, the rewards less the KL penalty."""
    if rollouts.judge_scores is not None:
        return rollouts.judge_scores.float()
    assert rollouts.kl is not None, "evaluated rollouts have their KL"
    return rollouts.rewards.float() - kl_coef * rollouts.kl


def evaluation_metrics(
    rollouts: RolloutBatch, scores: Tensor, initial_scores: Sequence[float]
) -> dict[str, float]:
    """Return the metrics of an evaluation with these `scores` `[N]`.

    `initial_scores` are those of the first evaluation; empty in the first evaluation itself.
    """
    per_response = {
        "reward": rollouts.rewards,
        "kl": rollouts.kl,
        "ended": rollouts.is_finished,
        "judge": rollouts.judge_scores,
    }
    values = {n: float(each.float().mean()) for n, each in per_response.items() if each is not None}
    gain = torch.zeros_like(scores)  # [N]
    if initial_scores:
        gain = scores - torch.tensor(initial_scores).to(scores)
    root = math.sqrt(len(scores))
    values["gain"] = float(gain.mean())
    values["gain_error"] = float(gain.std(correction=0)) / root
    values["error"] = float(scores.std(correction=0)) / root
    return values
