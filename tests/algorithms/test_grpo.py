"""GRPO: groups instead of a value."""

import statistics
from typing import Any

import pytest
import torch

from tests.algorithms.acting import bandit, gradient, made, settings, trained
from upbring.algorithms.grpo import Grpo
from upbring.data.trees.batch import make_batch
from upbring.settings.methods.grpo import GrpoSettings


def asked(**given: object) -> Any:
    return settings(GrpoSettings, **{"steps": 3, "num_generations": 4, **given})


def by_first(rollouts: Any) -> list[float]:
    return [float(rollout.tokens[0]) for rollout in rollouts]


def test_all_tokens_of_a_response_have_its_advantage_within_the_group() -> None:
    ours, _ = made(Grpo, asked(), reward=by_first)
    next(iter(ours.batches(0)))
    for tree in ours.trees:
        rewards = [float(branch.tokens[0]) for branch in tree.branches]
        mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
        for branch, reward in zip(tree.branches, rewards, strict=True):
            expected = (reward - mean) / (deviation + 1e-4)
            assert branch.per_token["advantage"].tolist() == pytest.approx(
                [expected] * len(branch.tokens), rel=1e-4, abs=1e-5
            )


def test_groups_may_be_left_unscaled() -> None:
    ours, _ = made(Grpo, asked(scale_rewards=False), reward=by_first)
    next(iter(ours.batches(0)))
    tree = ours.trees[0]
    rewards = [float(branch.tokens[0]) for branch in tree.branches]
    found = float(tree.branches[0].per_token["advantage"][0])
    assert found == pytest.approx(rewards[0] - statistics.mean(rewards), abs=1e-4)


@pytest.mark.parametrize("average", ["responses", "tokens"])
def test_every_response_or_every_token_counts_the_same(average: str) -> None:
    ours, _ = made(Grpo, asked(average=average), reward=by_first)
    ours.micro_tokens = 10_000
    (batch,) = next(iter(ours.batches(0)))
    weight = ours.weights(batch)["policy"]
    lengths = torch.bincount(batch.branch_index)
    totals = torch.zeros(len(lengths)).index_add(0, batch.branch_index, weight)
    assert len(set(lengths.tolist())) > 1
    expected = lengths.float() if average == "tokens" else torch.ones(len(lengths))
    assert torch.allclose(totals, expected)


def test_the_first_step_starts_at_ratio_1_without_divergence() -> None:
    ours, _ = made(Grpo, asked(), reward=by_first)
    row, metrics = gradient(ours, next(iter(ours.batches(0))))
    assert metrics["ratio"] == pytest.approx(1, abs=1e-5)
    assert metrics["clip_fraction"] == 0
    assert metrics["divergence"] == pytest.approx(0, abs=1e-8)
    assert row.any()


def test_the_divergence_is_in_the_loss_and_not_in_the_reward() -> None:
    ours, _ = made(Grpo, asked(learning_rate=0.05), reward=by_first)
    metrics = trained(ours)
    assert metrics[-1]["divergence"] > 1e-4
    notes = make_batch(ours.trees).per_token
    assert torch.equal(notes["reward"] != 0, notes["reward"] > 0)  # only what was rewarded
    free, _ = made(Grpo, asked(kl_coef=0.0))
    assert "divergence" not in free.weights(next(iter(free.batches(0)))[0])


def test_a_bandit_whose_best_arms_are_known_is_solved() -> None:
    rewards = bandit(Grpo, GrpoSettings, steps=20)
    assert rewards[0] < 0.6
    assert sum(rewards[-5:]) / 5 > 0.9
