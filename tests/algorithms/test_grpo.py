"""GRPO: group-relative advantages and the KL term."""

import statistics
from typing import Any

import pytest
import torch

from tests.algorithms.acting import bandit, given, gradient, made, round_of, settings, trained
from upbring.algorithms.grpo import Grpo
from upbring.algorithms.rollout_batch import RolloutBatch
from upbring.settings.methods.grpo import GrpoSettings


def make_settings(**given: object) -> Any:
    return settings(GrpoSettings, **{"steps": 3, "num_generations": 4, **given})


def by_first(rollouts: Any) -> list[float]:
    return [float(rollout.tokens[0]) for rollout in rollouts]


def test_all_tokens_of_a_response_have_its_advantage_within_the_group() -> None:
    ours, _ = made(Grpo, make_settings(), reward=by_first)
    next(iter(ours.batches(0)))
    expected: list[float] = []
    for tree in round_of(ours).trees:
        rewards = [float(branch.tokens[0]) for branch in tree.branches]
        mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
        for branch, reward in zip(tree.branches, rewards, strict=True):
            expected += [(reward - mean) / (deviation + 1e-4)] * len(branch.tokens)
    found = given(round_of(ours).advantages).tolist()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_groups_may_be_left_unscaled() -> None:
    ours, _ = made(Grpo, make_settings(scale_rewards=False), reward=by_first)
    next(iter(ours.batches(0)))
    tree = round_of(ours).trees[0]
    rewards = [float(branch.tokens[0]) for branch in tree.branches]
    found = float(given(round_of(ours).advantages)[0])
    assert found == pytest.approx(rewards[0] - statistics.mean(rewards), abs=1e-4)


@pytest.mark.parametrize("average", ["responses", "tokens"])
def test_every_response_or_every_token_counts_the_same(average: str) -> None:
    ours, _ = made(Grpo, make_settings(average=average), reward=by_first)
    ours.micro_tokens = 10_000
    (micro_batch,) = next(iter(ours.batches(0)))
    weight = ours.weights(micro_batch)["policy"]
    assert isinstance(micro_batch, RolloutBatch)
    branch = micro_batch.batch.branch_index
    lengths = torch.bincount(branch)
    totals = torch.zeros(len(lengths)).index_add(0, branch, weight)
    assert len(set(lengths.tolist())) > 1
    expected = lengths.float() if average == "tokens" else torch.ones(len(lengths))
    assert torch.allclose(totals, expected)


def test_the_first_step_has_ratio_1_and_no_kl() -> None:
    ours, _ = made(Grpo, make_settings(), reward=by_first)
    row, metrics = gradient(ours, next(iter(ours.batches(0))))
    assert metrics["ratio"] == pytest.approx(1, abs=1e-5)
    assert metrics["clip_fraction"] == 0
    assert metrics["divergence"] == pytest.approx(0, abs=1e-8)
    assert row.any()


def test_the_kl_penalty_is_in_the_loss_and_not_in_the_reward() -> None:
    ours, _ = made(Grpo, make_settings(learning_rate=0.05), reward=by_first)
    metrics = trained(ours)
    assert metrics[-1]["divergence"] > 1e-4
    rewards = given(round_of(ours).token_rewards)
    assert torch.equal(rewards != 0, rewards > 0)  # the rewards alone
    free, _ = made(Grpo, make_settings(kl_coef=0.0))
    assert "divergence" not in free.weights(next(iter(free.batches(0)))[0])


def test_with_one_step_per_round_the_old_logprobs_are_those_of_the_step() -> None:
    """In bfloat16 the sampler's differ; a round with a second step computes them again."""
    found = {}
    for epochs in (1, 2):
        settings = make_settings(update_epochs=epochs, max_response_length=20)
        ours, _ = made(Grpo, settings, reward=by_first, compute=torch.bfloat16, is_rescored=True)
        found[epochs] = gradient(ours, next(iter(ours.batches(0))))
        is_sampled = torch.equal(round_of(ours).old_logprobs, round_of(ours).sampled_logprobs)
        assert is_sampled == (epochs == 1)
    (own, own_metrics), (again, metrics) = found[1], found[2]
    assert own.any()
    assert torch.allclose(own, again, rtol=0, atol=float(again.abs().max()) / 100)
    assert own_metrics["ratio"] == 1
    assert own_metrics["sampler_gap"] > 1e-3
    assert own_metrics["kl"] == pytest.approx(metrics["kl"], abs=1e-6)


def test_a_bandit_with_known_best_arms_is_solved() -> None:
    rewards = bandit(Grpo, GrpoSettings, steps=30)
    assert rewards[0] < 0.6
    assert sum(rewards[-5:]) / 5 > 0.9
