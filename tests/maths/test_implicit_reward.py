"""Masked sums over tokens, extreme pairs of rankings, and log-odds."""

import math

import pytest
import torch

from upbring.maths.implicit_reward import (
    best_branches,
    extreme_pairs,
    log1mexp,
    log_odds,
    sum_by_branch,
)

NAN = float("nan")


def test_masked_tokens_are_in_neither_sum_nor_length() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    counts = torch.tensor([1.0, 0.0, 1.0, NAN])  # NaN counts as 1
    total, length = sum_by_branch(values, torch.tensor([0, 0, 2, 2]), 3, token_mask=counts)
    assert total.tolist() == [1, 0, 12]
    assert length.tolist() == [1, 0, 2]
    total.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1, 0, 1, 1]


def test_extreme_pairs_are_the_first_best_and_first_worst_of_each_ranking() -> None:
    rank = torch.tensor([3.0, 1.0, 1.0, 3.0, NAN, 2.0, 2.0])
    pairs = extreme_pairs(rank, torch.tensor([0, 0, 0, 0, 1, 2, 2]))
    assert (pairs.better.tolist(), pairs.worse.tolist()) == ([1, 5], [0, 6])
    assert pairs.tree.tolist() == [0, 2]
    assert pairs.is_tie.tolist() == [False, True]
    assert pairs.weight.tolist() == [1, 1]


def test_the_best_branch_is_the_first_of_the_lowest_rank() -> None:
    rank = torch.tensor([2.0, 1.0, 1.0, NAN, 5.0])
    assert best_branches(rank, torch.tensor([0, 0, 0, 1, 2])).tolist() == [
        False,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("x", [-1e-6, -0.1, -0.69, -0.7, -5.0, -40.0])
def test_log1mexp_is_accurate(x: float) -> None:
    # The float64 value, in the stable form for each range of x.
    exact = math.log(-math.expm1(x)) if x > -1 else math.log1p(-math.exp(x))
    assert float(log1mexp(torch.tensor(x))) == pytest.approx(exact, rel=1e-6)


def test_log_odds_of_one_half_are_0_and_of_1_are_finite() -> None:
    assert float(log_odds(torch.tensor(-math.log(2)))) == pytest.approx(0, abs=1e-7)
    certain = torch.tensor([0.0], requires_grad=True)
    odds = log_odds(certain)
    odds.sum().backward()
    assert certain.grad is not None
    assert bool(odds.isfinite().all() and certain.grad.isfinite().all())
