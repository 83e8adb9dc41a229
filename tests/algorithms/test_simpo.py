"""SimPO against its equations in float64."""

import pytest
from torch import Tensor

from tests.preferred import (
    BranchLogprobs,
    algorithm,
    distance,
    expected,
    over_pairs,
    over_soft_pairs,
    rankings,
    sigmoid_loss,
    soft_rankings,
    taken,
)
from tests.tolerances import GRADIENTS, LOGPROBS
from upbring.algorithms.simpo import Simpo

TREES = rankings()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradient_are_the_papers(smoothing: float) -> None:
    def loss(w: BranchLogprobs, x: BranchLogprobs, *, tied: bool) -> Tensor:
        h = 2.5 * (w.policy.mean() - x.policy.mean())
        return sigmoid_loss(h, 0.5) if tied else sigmoid_loss(h - 1.4, smoothing)

    ours = algorithm(Simpo, TREES, beta=2.5, gamma=1.4, label_smoothing=smoothing)
    values, gradient = taken(ours)
    value, theirs = expected(TREES, lambda logprobs: over_pairs(TREES, logprobs, loss))
    assert values["loss"] == values["simpo"] == pytest.approx(value, abs=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS


def test_soft_labels_scale_the_target_margin() -> None:
    def loss(w: BranchLogprobs, x: BranchLogprobs, p: float) -> Tensor:
        h = 2.5 * (w.policy.mean() - x.policy.mean()) - (2 * p - 1) * 1.4
        return sigmoid_loss(h, 1 - p)

    values, gradient = taken(algorithm(Simpo, soft_rankings(), beta=2.5, gamma=1.4))
    value, theirs = expected(TREES, lambda logprobs: over_soft_pairs(logprobs, loss))
    assert values["loss"] == pytest.approx(value, abs=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS
