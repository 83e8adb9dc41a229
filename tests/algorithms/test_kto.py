"""KTO against its equations in float64, and its reference point."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.families import VOCABULARY
from tests.plain import random_trees
from tests.preferred import (
    BranchLogprobs,
    algorithm,
    distance,
    expected,
    own_reference,
    referred,
    taken,
)
from tests.tolerances import GRADIENTS, LOGPROBS
from upbring.algorithms.kto import Kto, reference_point
from upbring.data.trees.tree import Tree

NAN = float("nan")
SHAPES = [(3, (5, 2)), (1, (4, 3)), (2, (1, 7, 2)), (5, (2, 2)), (4, (3, 1))]
GOOD = [[1, NAN], [0, NAN], [1, 0, NAN], [0, NAN], [1, NAN]]  # NaN: a response to another prompt


def judged() -> list[Tree]:
    return [
        replace(item, per_branch={"good": np.array(good, float)})
        for item, good in zip(referred(random_trees(VOCABULARY, SHAPES)), GOOD, strict=True)
    ]


TREES = judged()


def kto_loss(
    logprobs: list[list[BranchLogprobs]], *, beta: float, good: float, bad: float, sign: float = 1.0
) -> Tensor:
    """Return equation 8; `sign` swaps policy and reference in z₀ alone."""
    ratios = [float((sign * branches[-1].ratio).detach()) for branches in logprobs]
    z = max(0.0, sum(ratios) / len(ratios))
    losses = []
    for branches, labels in zip(logprobs, GOOD, strict=True):
        for branch, label in zip(branches, labels, strict=True):
            if label == 1:
                losses.append(good - good / (1 + torch.exp(-beta * (branch.ratio - z))))
            if label == 0:
                losses.append(bad - bad / (1 + torch.exp(-beta * (z - branch.ratio))))
    return torch.stack(losses).mean()


def raised(trees: list[Tree], by: float) -> list[Tree]:
    """Return trees in which the log-ratio of the last branch is larger by `by`."""
    found = []
    for item in trees:
        *first, last = item.branches
        note = last.per_token["reference"] - by / len(last.tokens)
        found.append(replace(item, branches=(*first, replace(last, per_token={"reference": note}))))
    return found


@pytest.mark.parametrize(("by", "is_held"), [(-20.0, True), (20.0, False)])
def test_loss_and_gradient_are_the_papers(by: float, is_held: bool) -> None:  # noqa: FBT001 -- a case
    trees = raised(TREES, by)
    ours = algorithm(Kto, trees, beta=0.2, desirable_weight=1.3, undesirable_weight=0.7)
    values, gradient = taken(ours)
    value, theirs = expected(
        trees, lambda logprobs: kto_loss(logprobs, beta=0.2, good=1.3, bad=0.7)
    )
    assert values["loss"] == values["kto"] == pytest.approx(value, rel=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS
    assert (values["kl_estimate"] == 0) == is_held


def test_the_reference_point_is_the_mean_log_ratio_and_never_negative() -> None:
    assert reference_point(6.0, 4) == 1.5
    assert reference_point(-6.0, 4) == 0
    assert reference_point(0.0, 0) == 0


def test_the_reference_point_does_not_depend_on_the_micro_batches() -> None:
    trees = raised(TREES, 20.0)
    (whole, _), (parts, _) = (
        taken(algorithm(Kto, trees, beta=0.2, micro_tokens=n)) for n in (10_000, 1)
    )
    assert whole["kl_estimate"] == pytest.approx(parts["kl_estimate"], rel=1e-5)
    assert whole["loss"] == pytest.approx(parts["loss"], rel=1e-5)


def test_mismatched_responses_are_not_trained_on() -> None:
    ours = algorithm(Kto, TREES, beta=0.2)
    (batch,) = next(iter(ours.batches(0)))
    assert len(batch.tree_index) == 6  # labeled responses, of 11
    assert ours.weights(batch)["kto"].tolist() == [1.0] * 6


def test_the_initial_loss_is_half_of_each_weight() -> None:
    ours = algorithm(Kto, TREES, beta=0.2, desirable_weight=3.0)
    same = own_reference(TREES, ours)
    seen = algorithm(Kto, same, beta=0.2, desirable_weight=3.0).evaluate(0).values
    assert seen["loss"] == pytest.approx((3 * 1.5 + 3 * 0.5) / 6, abs=1e-6)  # λ − λ σ(0)


def test_a_response_counts_with_the_weight_of_its_row() -> None:
    row_weights = [2.0, 1.0, 0.5, 4.0, 1.0]
    weighted = [
        replace(item, per_branch={**item.per_branch, "weight": np.full(len(item.branches), w)})
        for item, w in zip(TREES, row_weights, strict=True)
    ]
    values, _ = taken(algorithm(Kto, weighted, beta=0.2))

    def loss(logprobs: list[list[BranchLogprobs]]) -> Tensor:
        z = max(0.0, sum(float(b[-1].ratio.detach()) for b in logprobs) / len(logprobs))
        losses, total = [], 0.0
        for branches, labels, w in zip(logprobs, GOOD, row_weights, strict=True):
            for branch, label in zip(branches, labels, strict=True):
                if label == label:  # noqa: PLR0124 -- false for NaN
                    sign = 2 * label - 1
                    losses.append(w * (1 - torch.sigmoid(sign * 0.2 * (branch.ratio - z))))
                    total += w
        return torch.stack(losses).sum() / total

    value, _ = expected(TREES, loss)
    assert values["loss"] == pytest.approx(value, rel=LOGPROBS)
