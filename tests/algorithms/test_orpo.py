"""ORPO against its equations in float64."""

from dataclasses import replace

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
    sigmoid_loss,
    soft_rankings,
    taken,
)
from tests.tolerances import GRADIENTS, LOGPROBS
from upbring.algorithms.orpo import Orpo

TREES = rankings()
BEST = [0, 1, 0, 0, 0, 1, 0, 2]  # branch of each ranking; the first one of ties


def test_loss_and_gradient_are_the_papers() -> None:
    def ratio(w: BranchLogprobs, x: BranchLogprobs, *, tied: bool) -> Tensor:
        p, q = w.policy.mean().exp(), x.policy.mean().exp()
        return sigmoid_loss(torch.log((p / (1 - p)) / (q / (1 - q))), 0.5 if tied else 0.0)

    def loss(logprobs: list[list[BranchLogprobs]]) -> Tensor:
        best = torch.cat([branches[i].policy for branches, i in zip(logprobs, BEST, strict=True)])
        return -best.mean() + 0.3 * over_pairs(TREES, logprobs, ratio)

    values, gradient = taken(algorithm(Orpo, TREES, beta=0.3))
    value, theirs = expected(TREES, loss)
    assert values["loss"] == pytest.approx(value, rel=LOGPROBS)
    assert values["loss"] == pytest.approx(values["nll"] + 0.3 * values["orpo"], rel=1e-6)
    assert distance(gradient, theirs) < GRADIENTS


def test_no_reference_is_needed() -> None:
    bare = [
        replace(item, branches=tuple(replace(b, per_token={}) for b in item.branches))
        for item in TREES
    ]
    values, _ = taken(algorithm(Orpo, bare, beta=0.3))
    same, _ = taken(algorithm(Orpo, TREES, beta=0.3))
    assert values["loss"] == same["loss"]
    assert set(same) - set(values) == {"chosen_logratio", "rejected_logratio"}


def test_soft_labels_have_the_cross_entropy_of_the_log_odds() -> None:
    def ratio(w: BranchLogprobs, x: BranchLogprobs, p: float) -> Tensor:
        odds = [each.policy.mean().exp() for each in (w, x)]
        h = torch.log(odds[0] / (1 - odds[0]) / (odds[1] / (1 - odds[1])))
        return sigmoid_loss(h, 1 - p)

    values, _ = taken(algorithm(Orpo, soft_rankings(), beta=0.3))
    value, _ = expected(TREES, lambda logprobs: over_soft_pairs(logprobs, ratio))
    assert values["orpo"] == pytest.approx(value, rel=LOGPROBS)
