import statistics
from collections.abc import Sequence

import pytest
import torch

from tests.algorithms.acting import made, round_of, settings
from upbring.algorithms.grpo import Grpo
from upbring.algorithms.reward_sources import source_metrics
from upbring.algorithms.rollout_batch import Rollout
from upbring.algorithms.sample_round import SourceScores
from upbring.settings.methods.grpo import GrpoSettings


def two_sources(rollouts: Sequence[Rollout]) -> SourceScores:
    first = [float(rollout.tokens[0]) for rollout in rollouts]
    lengths = [float(len(rollout.tokens)) for rollout in rollouts]
    total = (a - 0.5 * b for a, b in zip(first, lengths, strict=True))
    return SourceScores(total, torch.tensor([first, lengths]).double().T)


def test_each_source_has_its_mean_and_the_deviation_of_the_whole_round() -> None:
    ours, _ = made(Grpo, settings(GrpoSettings, steps=3, num_generations=4), reward=two_sources)
    ours.micro_tokens = 30
    micro_batches = list(next(iter(ours.batches(0))))
    assert len(micro_batches) > 1
    names = ("first", "length")
    sums: dict[str, float] = {}
    for batch in micro_batches:
        for name, term in source_metrics(batch, names).items():
            sums[name] = sums.get(name, 0.0) + float((term.loss * term.weight).sum())
    branches = [branch for tree in round_of(ours).trees for branch in tree.branches]
    first = [float(branch.tokens[0]) for branch in branches]
    lengths = [len(branch.tokens) for branch in branches]
    found = {name: total / len(branches) for name, total in sums.items()}
    assert found == pytest.approx(
        {
            "rewards/first/mean": statistics.mean(first),
            "rewards/first/std": statistics.pstdev(first),
            "rewards/length/mean": statistics.mean(lengths),
            "rewards/length/std": statistics.pstdev(lengths),
        }
    )
