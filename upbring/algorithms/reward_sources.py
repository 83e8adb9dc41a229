"""Metrics of each source of a reward: reward models, rules, functions, before their weights."""

import torch
from torch import Tensor

from upbring.algorithms.rollout_batch import RolloutBatch
from upbring.train.algorithm import Term


def source_metrics(rollouts: RolloutBatch, names: tuple[str, ...]) -> dict[str, Term]:
    """Return mean and deviation of each source, under TRL's names."""
    values, stds = rollouts.source_rewards, rollouts.source_stds  # [N, S]
    if values is None or stds is None:
        return {}
    per_response, found = torch.ones_like(stds[:, 0]), {}
    for number, name in enumerate(names):
        found[f"rewards/{name}/mean"] = Term(values[:, number].float(), per_response, 0)
        found[f"rewards/{name}/std"] = Term(stds[:, number], per_response, 0)
    return found


def std_of_round(values: Tensor) -> Tensor:
    """Return the standard deviation over N responses, `[N, ...]` float32, the same for each.

    >>> std_of_round(torch.tensor([1.0, 3.0])).tolist()
    [1.0, 1.0]
    """
    return values.std(0, correction=0).float().expand(values.shape).clone()
