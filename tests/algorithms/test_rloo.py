"""RLOO: a response is one action, with the other responses to its prompt as the baseline."""

from typing import Any

import pytest
import torch

from tests import tolerances
from tests.algorithms.acting import bandit, given, gradient, made, round_of, settings, trained
from upbring.algorithms.rloo import Rloo
from upbring.algorithms.rollout_batch import RolloutBatch
from upbring.maths.segment_sums import segment_sum
from upbring.model.score import score_tokens
from upbring.settings.methods.rloo import RlooSettings


def make_settings(**given: object) -> Any:
    return settings(RlooSettings, **{"steps": 3, "num_generations": 3, **given})


def by_first(rollouts: Any) -> list[float]:
    return [float(rollout.tokens[0]) for rollout in rollouts]


def test_the_baseline_of_a_response_is_the_mean_of_the_others_to_its_prompt() -> None:
    ours, _ = made(Rloo, make_settings(kl_coef=0.0), reward=by_first)
    next(iter(ours.batches(0)))
    naive: list[float] = []
    for tree in round_of(ours).trees:
        a, b, c = (float(branch.tokens[0]) for branch in tree.branches)
        naive += [a - (b + c) / 2, b - (a + c) / 2, c - (a + b) / 2]
    assert given(round_of(ours).response_advantages).tolist() == pytest.approx(naive)


def test_the_kl_of_all_its_tokens_is_subtracted_from_the_reward_of_a_response() -> None:
    ours, _ = made(Rloo, make_settings(kl_coef=0.5, learning_rate=0.05), reward=by_first)
    trained(ours, stop=1)
    next(iter(ours.batches(1)))
    for number in range(len(round_of(ours).trees)):
        part = round_of(ours).select([number])
        (tree,) = part.trees
        lengths = [len(branch.tokens) for branch in tree.branches]
        log_ratios = torch.split(part.old_logprobs - part.reference_logprobs, lengths)
        a, b, c = (
            float(branch.tokens[0]) - 0.5 * float(log_ratio.sum())
            for branch, log_ratio in zip(tree.branches, log_ratios, strict=True)
        )
        found = given(part.response_advantages)
        assert float(found[0]) == pytest.approx(a - (b + c) / 2, abs=1e-4)
        assert float(given(part.token_rewards)[: lengths[0]].sum()) == pytest.approx(a, abs=1e-4)


def test_the_first_gradient_is_that_of_reinforce() -> None:
    ours, roles = made(Rloo, make_settings(), reward=by_first)
    ours.micro_tokens = 10_000
    (rollouts,) = next(iter(ours.batches(0)))
    assert isinstance(rollouts, RolloutBatch)
    row, _ = gradient(ours, [rollouts])
    with roles.active("policy"):
        tokens = score_tokens(ours.roles.policy.model, rollouts.batch).logprobs
        logprobs = segment_sum(tokens, rollouts.batch.branch_index, 6)
    for parameter in roles.parameters("policy").values():
        parameter.grad = None
    (-(given(rollouts.response_advantages) * logprobs).mean()).backward()
    plain = torch.cat(
        [p.grad.flatten() for p in roles.parameters("policy").values() if p.grad is not None]
    )
    assert (row - plain).norm() / plain.norm() < 10 * tolerances.ACCUMULATED


def test_advantages_may_be_whitened() -> None:
    ours, _ = made(Rloo, make_settings(whiten_advantages=True), reward=by_first)
    next(iter(ours.batches(0)))
    advantage = given(round_of(ours).response_advantages)
    assert float(advantage.square().mean()) == pytest.approx(1, rel=1e-4)


def test_a_bandit_with_known_best_arms_is_solved() -> None:
    rewards = bandit(Rloo, RlooSettings, steps=30)
    assert rewards[0] < 0.6
    assert sum(rewards[-5:]) / 5 > 0.9
