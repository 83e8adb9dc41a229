"""IPO against its equation in float64."""

import pytest
import torch
from torch import Tensor

from tests.preferred import (
    BranchLogprobs,
    algorithm,
    distance,
    expected,
    over_pairs,
    over_soft_pairs,
    rankings,
    soft_rankings,
    taken,
)
from tests.tolerances import GRADIENTS, LOGPROBS
from upbring.algorithms.ipo import Ipo, pair_losses

TREES = rankings()


@pytest.mark.parametrize("is_length_normalized", [False, True])
def test_loss_and_gradient_are_the_papers(is_length_normalized: bool) -> None:  # noqa: FBT001 -- a case
    def loss(w: BranchLogprobs, x: BranchLogprobs, *, tied: bool) -> Tensor:
        n, m = (len(w.policy), len(x.policy)) if is_length_normalized else (1, 1)
        return (w.ratio / n - x.ratio / m - (0.0 if tied else 1 / (2 * 0.25))) ** 2

    values, gradient = taken(
        algorithm(Ipo, TREES, beta=0.25, is_length_normalized=is_length_normalized)
    )
    value, theirs = expected(TREES, lambda logprobs: over_pairs(TREES, logprobs, loss))
    assert values["loss"] == values["ipo"] == pytest.approx(value, rel=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS


def test_the_loss_is_0_at_the_target_and_the_target_squared_at_the_start() -> None:
    h, p = torch.tensor([5.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.5])
    assert pair_losses(h, p, 0.1).tolist() == [0.0, 25.0, 0.0]


def test_the_target_of_a_soft_label_is_that_of_the_population_form() -> None:
    def loss(w: BranchLogprobs, x: BranchLogprobs, p: float) -> Tensor:
        return (w.ratio - x.ratio - (p - 0.5) / 0.25) ** 2

    values, gradient = taken(algorithm(Ipo, soft_rankings(), beta=0.25))
    value, theirs = expected(TREES, lambda logprobs: over_soft_pairs(logprobs, loss))
    assert values["loss"] == pytest.approx(value, rel=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS
