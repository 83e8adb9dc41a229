"""Advantages compared with their definitions: explicit sums, and each group separately."""

import statistics

import pytest
import torch
from torch import Tensor

from tests.conftest import trials
from upbring.maths.advantages import gae, group_relative_advantages, leave_one_out_advantages


def explicit(rewards: list[float], values: list[float], *, g: float, lam: float) -> list[float]:
    """Return Σ_l (γλ)^l δ_{t+l} of one branch as an explicit sum."""
    ahead = [*values[1:], 0.0]
    deltas = [r + g * v - u for r, v, u in zip(rewards, ahead, values, strict=True)]
    return [
        sum((g * lam) ** k * delta for k, delta in enumerate(deltas[t:]))
        for t in range(len(deltas))
    ]


def ragged(seed: int) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (5,), generator=generator).tolist()
    total = sum(lengths)
    rewards, values = torch.randn(2, total, generator=generator, dtype=torch.float64)
    return rewards, values, torch.arange(5).repeat_interleave(torch.tensor(lengths)), lengths


@pytest.mark.parametrize("seed", range(trials(8, 300)))
def test_gae_is_the_explicit_sum_of_each_branch(seed: int) -> None:
    rewards, values, branch, lengths = ragged(seed)
    g, lam = (1.0, 0.95) if seed % 2 else (0.97, 0.8)
    result = gae(rewards, values, branch, gamma=g, lam=lam)
    expected = [
        value
        for r, v in zip(torch.split(rewards, lengths), torch.split(values, lengths), strict=True)
        for value in explicit(r.tolist(), v.tolist(), g=g, lam=lam)
    ]
    assert result.dtype == torch.float64
    assert result.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_without_decay_gae_is_the_return_minus_the_value() -> None:
    rewards, values, branch, lengths = ragged(0)
    result = gae(rewards, values, branch, gamma=1, lam=1)
    first = torch.tensor([0, *lengths]).cumsum(0)[:-1]
    totals = torch.stack([part.sum() for part in torch.split(rewards, lengths)])
    assert torch.allclose(result[first], totals - values[first])


def test_with_lambda_0_gae_is_the_one_step_td_error() -> None:
    result = gae(
        torch.tensor([1.0, 2.0]),
        torch.tensor([3.0, 5.0]),
        torch.tensor([0, 0]),
        gamma=0.5,
        lam=0,
    )
    assert result.tolist() == [1 + 0.5 * 5 - 3, 2 - 5]


GROUP = torch.tensor([0, 0, 0, 1, 1, 2])
REWARDS = torch.tensor([1.0, 2.0, 6.0, 5.0, 5.0, 9.0], dtype=torch.float64)


def test_group_relative_advantages_are_computed_per_group() -> None:
    groups = [[1.0, 2.0, 6.0], [5.0, 5.0]]
    expected = [(r - statistics.mean(g)) / (statistics.stdev(g) + 1e-4) for g in groups for r in g]
    result = group_relative_advantages(REWARDS, GROUP, 3, is_scaled=True).tolist()
    assert result == pytest.approx([*expected, 0.0])
    centered = group_relative_advantages(REWARDS, GROUP, 3, is_scaled=False).tolist()
    assert centered == pytest.approx([-2, -1, 3, 0, 0, 0])


def test_leave_one_out_compares_with_the_others_of_the_group() -> None:
    result = leave_one_out_advantages(REWARDS[:5], GROUP[:5], 2).tolist()
    naive = [1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2, 5 - 5, 5 - 5]
    assert result == pytest.approx(naive)
    assert leave_one_out_advantages(REWARDS[5:], GROUP[:1], 1).tolist() == [9]  # no other response


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reward", [100.1, 0.1, -7.3, 1e6 + 0.7])
def test_equal_rewards_have_an_advantage_of_exactly_zero(dtype: torch.dtype, reward: float) -> None:
    group = torch.tensor([0] * 7 + [1] * 3)
    rewards = torch.tensor([reward] * 7 + [1.0, 2.0, 4.0], dtype=dtype)
    for scaled in (True, False):
        found = group_relative_advantages(rewards, group, 2, is_scaled=scaled)
        assert found.dtype == dtype
        assert found[:7].tolist() == [0.0] * 7
        assert found[7:].abs().min() > 0.1
    assert leave_one_out_advantages(rewards, group, 2)[:7].tolist() == [0.0] * 7
