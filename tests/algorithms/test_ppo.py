"""PPO on a tiny policy with all of its roles on one base model."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests import tolerances
from tests.algorithms.acting import (
    bandit,
    given,
    gradient,
    lucky,
    made,
    round_of,
    settings,
    trained,
)
from upbring.algorithms.ppo import Ppo, clipped_policy_loss, clipped_value_loss
from upbring.data.trees.batch import Batch
from upbring.settings.methods.ppo import PpoSettings
from upbring.train.gradient import accumulate


def make_settings(**given: object) -> Any:
    return settings(PpoSettings, **{"steps": 4, "update_epochs": 2, **given})


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, -2.4),  # clipped at 1.2
        (0.5, 2.0, -1.0),  # unclipped: moves back to 1
        (1.5, -2.0, 3.0),  # unclipped: moves back to 1
        (0.5, -2.0, 1.6),  # clipped at 0.8
    ],
)
def test_the_policy_loss_is_clipped_on_the_side_that_gains(
    ratio: float, advantage: float, loss: float
) -> None:
    found = clipped_policy_loss(torch.tensor([ratio]), torch.tensor([advantage]), 0.2)
    assert float(found) == pytest.approx(loss)


def test_the_value_loss_is_the_larger_of_unclipped_and_clipped() -> None:
    value, old, returned = torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([2.0])
    assert float(clipped_value_loss(value, old, returned, 0)) == pytest.approx(0.5)  # (1 − 2)² / 2
    assert float(clipped_value_loss(value, old, returned, 0.2)) == pytest.approx(1.62)  # 1.8² / 2
    assert float(clipped_value_loss(value, old, returned, 5)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("compute", "is_rescored", "near"),
    [(torch.float32, False, 1e-5), (torch.float32, True, 1e-6), (torch.bfloat16, True, 0.02)],
)
def test_the_first_minibatch_has_ratio_1_and_clips_nothing(
    compute: torch.dtype, *, is_rescored: bool, near: float
) -> None:
    ours, _ = made(Ppo, make_settings(), compute=compute, is_rescored=is_rescored)
    _, metrics = gradient(ours, next(iter(ours.batches(0))))
    assert metrics["ratio"] == pytest.approx(1, abs=near)
    assert 0 <= metrics["log_ratio"] <= near
    assert metrics["clip_fraction"] == 0


@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_at_the_start_the_kl_is_exactly_zero_if_both_models_are_scored(
    compute: torch.dtype,
) -> None:
    ours, _ = made(Ppo, make_settings(), compute=compute, is_rescored=True)
    assert gradient(ours, next(iter(ours.batches(0))))[1]["kl"] == 0
    assert ours.evaluate(0).values["kl"] == 0


def test_at_the_start_the_kl_of_the_sampled_probabilities_is_nearly_zero() -> None:
    ours, _ = made(Ppo, make_settings())
    _, metrics = gradient(ours, next(iter(ours.batches(0))))
    assert metrics["kl"] <= 1e-5
    rollouts = round_of(ours)
    gap = (rollouts.old_logprobs - rollouts.reference_logprobs).abs()
    assert 0 < float(gap.max()) <= 1e-5
    assert metrics["sampler_gap"] < tolerances.SAMPLED


def test_the_reward_is_at_the_last_token_only() -> None:
    ours, _ = made(Ppo, make_settings(kl_coef=0.0))
    next(iter(ours.batches(0)))
    rollouts = round_of(ours)
    lengths = torch.bincount(rollouts.batch.branch_index).tolist()
    rewards = torch.split(given(rollouts.token_rewards), lengths)
    normalized = given(rollouts.normalized_rewards)
    for number, (reward, gain) in enumerate(zip(rewards, normalized, strict=True)):
        assert reward[-1] == gain, number
        assert not reward[:-1].any()


def test_the_kl_penalty_is_in_the_reward_of_each_token() -> None:
    ours, _ = made(Ppo, make_settings(learning_rate=0.02))
    trained(ours, stop=2)
    next(iter(ours.batches(2)))  # a round of a policy that has moved
    rollouts = round_of(ours)
    penalty = 0.05 * (rollouts.old_logprobs - rollouts.reference_logprobs)
    branch, rewards = rollouts.batch.branch_index, given(rollouts.token_rewards)
    is_last = torch.cat([branch[1:] != branch[:-1], torch.tensor([True])])
    assert float(penalty.abs().max()) > 1e-4
    assert torch.allclose(rewards[~is_last], -penalty[~is_last])
    assert torch.allclose(rewards[is_last], given(rollouts.normalized_rewards) - penalty[is_last])


def test_advantages_are_whitened_over_the_tokens_of_a_round() -> None:
    ours, _ = made(Ppo, make_settings())
    next(iter(ours.batches(0)))
    advantage = given(round_of(ours).advantages)
    assert float(advantage.mean()) == pytest.approx(0, abs=1e-6)
    assert float(advantage.square().mean()) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 27.8])
def test_the_mixed_gradient_is_that_of_ppo_and_gamma_times_that_of_replay(gamma: float) -> None:
    mixed, _ = made(Ppo, make_settings(mix=("r=0.5",), mix_weight=gamma))
    plain, _ = made(Ppo, make_settings())
    batches = list(next(iter(mixed.batches(0))))
    replayed = [batch for batch in batches if isinstance(batch, Batch)]
    assert len(replayed) in range(1, len(batches))
    (whole, _), (ours, _) = gradient(mixed, batches), gradient(plain, next(iter(plain.batches(0))))
    alone, _ = gradient(mixed, replayed)  # includes γ
    assert (whole - ours - alone).norm() / whole.norm() < tolerances.ACCUMULATED
    other, _ = made(Ppo, make_settings(mix=("r=0.5",), mix_weight=1.0))
    one, _ = gradient(other, replayed)
    assert (alone - gamma * one).norm() / alone.norm() < tolerances.ACCUMULATED


def test_without_gamma_it_is_plain_ppo_bit_for_bit() -> None:
    weights = []
    for mix in ((), ("r=0.5",)):
        ours, roles = made(Ppo, make_settings(mix=mix, mix_weight=0.0, learning_rate=0.01))
        trained(ours)
        weights.append(torch.cat([p.flatten() for p in roles.parameters("policy").values()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_a_joint_gradient_of_policy_and_value_is_the_sum_of_both(*, is_checkpointed: bool) -> None:
    ours, _ = made(Ppo, make_settings(vf_coef=0.5), is_checkpointed=is_checkpointed)
    batches = next(iter(ours.batches(0)))
    joint, _ = gradient(ours, batches)
    other, _ = made(Ppo, make_settings(vf_coef=0.0))
    policy, _ = gradient(other, next(iter(other.batches(0))))
    ours.settings = make_settings(vf_coef=0.5, value_warmup_rounds=9)
    value, _ = gradient(ours, batches)
    assert policy.any()
    assert value.any()
    assert not (policy * value).any()  # each has parameters of its own
    assert (joint - policy - value).norm() / joint.norm() < tolerances.ACCUMULATED


def test_a_value_head_on_the_trunk_is_trained_with_the_policy() -> None:
    ours, roles = made(
        Ppo, make_settings(value_model="trunk"), reward=lambda some: [1.0] * len(some)
    )
    _, metrics = gradient(ours, next(iter(ours.batches(0))))
    assert metrics["ratio"] == pytest.approx(1, abs=1e-6)
    grad = roles.heads["policy"].weight.grad
    assert grad is not None
    assert grad.any()


def test_in_the_loss_the_kl_penalty_is_a_separate_term() -> None:
    inside, _ = made(Ppo, make_settings(kl_in="loss", kl_estimator="k3", learning_rate=0.02))
    metrics = trained(inside)
    branch = round_of(inside).batch.branch_index
    is_last = torch.cat([branch[1:] != branch[:-1], torch.tensor([True])])
    assert not given(round_of(inside).token_rewards)[~is_last].any()
    assert metrics[0]["divergence"] == pytest.approx(0, abs=1e-6)
    assert metrics[-1]["divergence"] > 1e-4


@pytest.mark.parametrize("value", ["adapter", "trunk"])
def test_a_bandit_with_known_best_arms_is_solved(value: str) -> None:
    rewards = bandit(Ppo, PpoSettings, steps=26, update_epochs=2, value_model=value)
    assert rewards[0] < 0.6
    assert sum(rewards[-8:]) / 8 > 0.8


def test_the_policy_is_unchanged_during_the_value_warm_up() -> None:
    ours, roles = made(Ppo, make_settings(value_warmup_rounds=1, learning_rate=0.01))
    before = {n: p.detach().clone() for n, p in roles.parameters("policy").items()}
    value = roles.heads["value"].weight.detach().clone()
    trained(ours, stop=2)
    assert all(torch.equal(before[n], p) for n, p in roles.parameters("policy").items())
    assert not torch.equal(value, roles.heads["value"].weight)
    trained(ours, start=2)
    assert not all(torch.equal(before[n], p) for n, p in roles.parameters("policy").items())


def test_replay_does_not_change_the_policy_during_the_value_warm_up() -> None:
    config = make_settings(
        value_warmup_rounds=1, learning_rate=0.01, mix=("r=0.5",), mix_weight=5.0
    )
    ours, roles = made(Ppo, config)
    before = {n: p.detach().clone() for n, p in roles.parameters("policy").items()}
    trained(ours, stop=2)
    assert all(torch.equal(before[n], p) for n, p in roles.parameters("policy").items())


def test_a_value_head_on_the_trunk_does_not_change_the_policy_during_the_warm_up() -> None:
    config = make_settings(value_warmup_rounds=1, steps=3, learning_rate=0.01, value_model="trunk")
    ours, roles = made(Ppo, config, reward=lambda some: [1.0] * len(some))
    before = {n: p.detach().clone() for n, p in roles.parameters("policy").items()}
    trained(ours, stop=2)
    moved = {n for n, p in roles.parameters("policy").items() if not torch.equal(before[n], p)}
    assert moved == {"head.policy.weight"}


def test_the_value_model_learns_the_expected_reward() -> None:
    ours, _ = made(
        Ppo,
        make_settings(
            value_warmup_rounds=99, steps=30, batch_size=6, learning_rate=0.03, value_clip_range=0.0
        ),
        reward=lambda some: [3.0] * len(some),
    )
    metrics = trained(ours)
    assert metrics[-1]["value"] < metrics[0]["value"] / 10


def test_the_gradient_of_a_step_does_not_depend_on_the_token_budget() -> None:
    rows = []
    for budget in (1, 10_000):
        ours, _ = made(Ppo, make_settings())
        ours.micro_tokens = budget
        rows.append(gradient(ours, next(iter(ours.batches(0))))[0])
    assert (rows[0] - rows[1]).norm() / rows[0].norm() < 1e-4


def test_only_the_policy_and_the_value_model_have_a_gradient() -> None:
    ours, roles = made(Ppo, make_settings())
    accumulate(ours, next(iter(ours.batches(0))))
    moved = {n for n, p in roles.model.named_parameters() if p.grad is not None}
    assert moved == {
        n for role in ("policy", "value") for n in roles.parameters(role) if "head" not in n
    }


def test_a_sample_has_the_rewards_values_and_advantages_of_each_token() -> None:
    ours, _ = made(Ppo, make_settings(), judge=lucky)
    sample, *_ = ours.evaluate(0).samples
    notes: Any = sample.metadata
    count = len(notes["tokens"])
    assert sample.response.split() == [*notes["tokens"]]
    assert {"kl", "rewards", "values", "advantages"} <= notes.keys()
    assert all(len(notes[n]) == count for n in ("kl", "rewards", "values", "advantages"))
    assert notes["rewards"][-1] == pytest.approx(notes["reward"], abs=1e-5)
    assert notes["judge"] == notes["reward"]
    assert np.isfinite(notes["advantages"]).all()
    assert math.isfinite(notes["reward"])
