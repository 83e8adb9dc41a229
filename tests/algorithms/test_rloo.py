"""RLOO: a response is one action, measured by the others to its prompt."""

from typing import Any

import pytest
import torch

from tests import tolerances
from tests.algorithms.acting import bandit, gradient, made, settings, trained
from upbring.algorithms.rloo import Rloo
from upbring.data.trees.batch import make_batch
from upbring.maths.segments import segment_sum
from upbring.model.score import score_tokens
from upbring.settings.methods.rloo import RlooSettings


def asked(**given: object) -> Any:
    return settings(RlooSettings, **{"steps": 3, "num_generations": 3, **given})


def by_first(rollouts: Any) -> list[float]:
    return [float(rollout.tokens[0]) for rollout in rollouts]


def test_a_response_is_measured_by_the_others_to_its_prompt() -> None:
    ours, _ = made(Rloo, asked(kl_coef=0.0), reward=by_first)
    next(iter(ours.batches(0)))
    for tree in ours.trees:
        a, b, c = (float(branch.tokens[0]) for branch in tree.branches)
        naive = [a - (b + c) / 2, b - (a + c) / 2, c - (a + b) / 2]
        assert tree.per_branch["advantage"].tolist() == pytest.approx(naive)


def test_the_divergence_of_all_its_tokens_is_paid_for_by_the_response() -> None:
    ours, _ = made(Rloo, asked(kl_coef=0.5, learning_rate=0.05), reward=by_first)
    trained(ours, stop=1)
    next(iter(ours.batches(1)))
    for tree in ours.trees:
        rewards = [
            float(b.tokens[0]) - 0.5 * float((b.per_token["old"] - b.per_token["reference"]).sum())
            for b in tree.branches
        ]
        a, b, c = rewards
        assert tree.per_branch["advantage"][0] == pytest.approx(a - (b + c) / 2, abs=1e-4)
        assert tree.branches[0].per_token["reward"].sum() == pytest.approx(rewards[0], abs=1e-4)


def test_the_first_gradient_is_that_of_reinforce() -> None:
    ours, roles = made(Rloo, asked(), reward=by_first)
    ours.micro_tokens = 10_000
    (batch,) = next(iter(ours.batches(0)))
    row, _ = gradient(ours, [batch])
    with roles.active("policy"):
        logprobs = segment_sum(
            score_tokens(ours.roles.policy.model, batch).logprobs, batch.branch_index, 6
        )
    for parameter in roles.parameters("policy").values():
        parameter.grad = None
    (-(batch.per_branch["advantage"] * logprobs).mean()).backward()
    plain = torch.cat(
        [p.grad.flatten() for p in roles.parameters("policy").values() if p.grad is not None]
    )
    assert (row - plain).norm() / plain.norm() < 10 * tolerances.ACCUMULATED


def test_advantages_may_be_whitened() -> None:
    ours, _ = made(Rloo, asked(whiten_advantages=True), reward=by_first)
    next(iter(ours.batches(0)))
    advantage = make_batch(ours.trees).per_branch["advantage"]
    assert float(advantage.square().mean()) == pytest.approx(1, rel=1e-4)


def test_a_bandit_whose_best_arms_are_known_is_solved() -> None:
    rewards = bandit(Rloo, RlooSettings, steps=20)
    assert rewards[0] < 0.6
    assert sum(rewards[-5:]) / 5 > 0.9
