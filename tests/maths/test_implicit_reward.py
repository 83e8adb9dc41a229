"""Sums over tokens that count, extremes of rankings, and odds."""

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


def test_tokens_that_do_not_count_are_in_neither_sum_nor_length() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    counts = torch.tensor([1.0, 0.0, 1.0, NAN])  # where it is not known a token counts
    total, length = sum_by_branch(values, torch.tensor([0, 0, 2, 2]), 3, token_mask=counts)
    assert total.tolist() == [1, 0, 12]
    assert length.tolist() == [1, 0, 2]
    total.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1, 0, 1, 1]


def test_extremes_are_the_first_best_and_the_first_worst_of_each_ranking() -> None:
    rank = torch.tensor([3.0, 1.0, 1.0, 3.0, NAN, 2.0, 2.0])
    found = extreme_pairs(rank, torch.tensor([0, 0, 0, 0, 1, 2, 2]))
    assert (found.better.tolist(), found.worse.tolist()) == ([1, 5], [0, 6])
    assert found.tree.tolist() == [0, 2]
    assert found.is_tie.tolist() == [False, True]
    assert found.weight.tolist() == [1, 1]


def test_the_best_is_the_first_of_the_lowest_rank_and_what_is_unranked_has_none() -> None:
    rank = torch.tensor([2.0, 1.0, 1.0, NAN, 5.0])
    assert best_branches(rank, torch.tensor([0, 0, 0, 1, 2])).tolist() == [
        False,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("x", [-1e-6, -0.1, -0.69, -0.7, -5.0, -40.0])
def test_the_logarithm_of_what_is_left_keeps_its_digits(x: float) -> None:
    # in float64, by the series −Σ eᵏˣ/k where eˣ is small and by log(−x) where x is
    exact = math.log(-math.expm1(x)) if x > -1 else math.log1p(-math.exp(x))
    assert float(log1mexp(torch.tensor(x))) == pytest.approx(exact, rel=1e-6)


def test_odds_of_one_half_are_even_and_certainty_is_finite() -> None:
    assert float(log_odds(torch.tensor(-math.log(2)))) == pytest.approx(0, abs=1e-7)
    certain = torch.tensor([0.0], requires_grad=True)
    odds = log_odds(certain)
    odds.sum().backward()
    assert certain.grad is not None
    assert bool(odds.isfinite().all() and certain.grad.isfinite().all())
