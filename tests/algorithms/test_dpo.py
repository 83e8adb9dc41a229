"""DPO against its equations in float64."""

import math
from collections import defaultdict
from itertools import permutations

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
    own_reference,
    rankings,
    sigmoid_loss,
    soft_rankings,
    taken,
)
from tests.tolerances import GRADIENTS, LOGPROBS
from upbring.algorithms.dpo import Dpo

TREES = rankings()


def dpo_loss(
    w: BranchLogprobs, x: BranchLogprobs, *, tied: bool, beta: float, smoothing: float = 0.0
) -> Tensor:
    return sigmoid_loss(beta * (w.ratio - x.ratio), 0.5 if tied else smoothing)


@pytest.mark.parametrize(("beta", "smoothing"), [(0.1, 0.0), (0.7, 0.0), (0.5, 0.2)])
def test_loss_and_gradient_are_the_papers(beta: float, smoothing: float) -> None:
    def cost(w: BranchLogprobs, x: BranchLogprobs, *, tied: bool) -> Tensor:
        return dpo_loss(w, x, tied=tied, beta=beta, smoothing=smoothing)

    ours = algorithm(Dpo, TREES, beta=beta, label_smoothing=smoothing)
    values, gradient = taken(ours)
    loss, theirs = expected(TREES, lambda logprobs: over_pairs(TREES, logprobs, cost))
    assert values["loss"] == values["dpo"] == pytest.approx(loss, abs=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS


def test_means_over_tokens_are_sums_divided_by_lengths() -> None:
    def loss(w: BranchLogprobs, x: BranchLogprobs, *, tied: bool) -> Tensor:
        h = w.ratio / len(w.policy) - x.ratio / len(x.policy)
        return sigmoid_loss(5 * h, 0.5 if tied else 0.0)

    values, gradient = taken(algorithm(Dpo, TREES, beta=5.0, is_length_normalized=True))
    value, theirs = expected(TREES, lambda logprobs: over_pairs(TREES, logprobs, loss))
    assert values["loss"] == pytest.approx(value, abs=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS


def test_the_loss_of_a_list_is_the_mean_over_the_orders_that_its_ties_allow() -> None:
    def loss(logprobs: list[list[BranchLogprobs]]) -> Tensor:
        every = []
        for item, branches in zip(TREES, logprobs, strict=True):
            ranks = item.per_branch["rank"].tolist()
            orders = [
                order
                for order in permutations(range(len(ranks)))
                if [ranks[i] for i in order] == sorted(ranks)
            ]
            costs = []
            for order in orders:
                rewards = [0.3 * branches[i].ratio for i in order]
                parts = [
                    rewards[k] - torch.stack(rewards[k:]).exp().sum().log()
                    for k in range(len(order))
                ]
                costs.append(-torch.stack(parts).sum())
            every.append(torch.stack(costs).mean())
        return torch.stack(every).mean()

    values, gradient = taken(algorithm(Dpo, TREES, beta=0.3, comparisons="list"))
    value, theirs = expected(TREES, loss)
    assert values["loss"] == pytest.approx(value, abs=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS


def test_best_against_worst_is_one_pair_of_each_ranking() -> None:
    def loss(logprobs: list[list[BranchLogprobs]]) -> Tensor:
        # ranks [1, 2]: 0 and 1; [2, 1, 3]: 1 and 2; [1, 2, 2, 4]: 0 and 3; [1, 1] is a tie …
        found = [(0, 1), (1, 2), (0, 3), (0, 1), (0, 2), (1, 0), (0, 1), (2, 4)]
        costs = [
            dpo_loss(branches[w], branches[x], tied=i == 3, beta=0.4)
            for i, (branches, (w, x)) in enumerate(zip(logprobs, found, strict=True))
        ]
        return torch.stack(costs).mean()

    values, gradient = taken(algorithm(Dpo, TREES, beta=0.4, comparisons="extremes"))
    value, theirs = expected(TREES, loss)
    assert values["loss"] == pytest.approx(value, abs=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS


@pytest.mark.parametrize("comparisons", ["all", "extremes", "list"])
def test_at_the_start_the_loss_is_log_2_and_the_accuracy_is_one_half(comparisons: str) -> None:
    pairs = [item for item in TREES if len(item.branches) == 2]
    trees = own_reference(pairs, algorithm(Dpo, pairs, beta=0.1))
    ours = algorithm(Dpo, trees, beta=0.1, comparisons=comparisons, micro_tokens=1)
    seen = ours.evaluate(0).values
    assert seen["loss"] == pytest.approx(math.log(2), abs=1e-7)
    assert seen["margin"] == seen["chosen_reward"] == seen["chosen_logratio"] == 0
    assert seen["accuracy"] == 0.5


def test_metrics_are_means_over_untied_pairs() -> None:
    sums: dict[str, float] = defaultdict(float)
    total = 0.0

    def note(logprobs: list[list[BranchLogprobs]]) -> Tensor:
        nonlocal total
        for item, branches in zip(TREES, logprobs, strict=True):
            ranks = item.per_branch["rank"].tolist()
            K = len(ranks)
            for w, x in [(i, j) for i in range(K) for j in range(K) if ranks[i] < ranks[j]]:
                weight = 2 / (K * (K - 1))
                total += weight
                won, lost = (float(branches[i].ratio.detach()) for i in (w, x))
                sums["chosen_reward"] += weight * 0.2 * won
                sums["rejected_reward"] += weight * 0.2 * lost
                sums["margin"] += weight * 0.2 * (won - lost)
                sums["accuracy"] += weight * (won > lost)
                sums["chosen_logprob"] += weight * float(branches[w].policy.detach().mean())
                sums["chosen_logratio"] += weight * won / len(branches[w].policy)
                sums["rejected_length"] += weight * len(branches[x].policy)
        return logprobs[0][0].policy.sum()

    expected(TREES, note)
    values, _ = taken(algorithm(Dpo, TREES, beta=0.2))
    means = {name: value / total for name, value in sums.items()}
    assert {name: values[name] for name in means} == pytest.approx(means, rel=1e-4)


@pytest.mark.parametrize("form", ["cross-entropy", "gdpo"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_soft_labels_and_weights_have_the_loss_and_gradient_of_their_equations(
    form: str, smoothing: float
) -> None:
    def loss(w: BranchLogprobs, x: BranchLogprobs, p: float) -> Tensor:
        q = p * (1 - smoothing) + (1 - p) * smoothing
        h = 0.3 * (w.ratio - x.ratio)
        return sigmoid_loss((2 * q - 1) * h) if form == "gdpo" else sigmoid_loss(h, 1 - q)

    ours = algorithm(Dpo, soft_rankings(), beta=0.3, label_smoothing=smoothing, soft_labels=form)
    values, gradient = taken(ours)
    value, theirs = expected(TREES, lambda logprobs: over_soft_pairs(logprobs, loss))
    assert values["loss"] == pytest.approx(value, abs=LOGPROBS)
    assert distance(gradient, theirs) < GRADIENTS


def test_lists_have_the_weights_of_their_rows_and_pairs_their_soft_labels() -> None:
    pairs = [item for item in soft_rankings() if len(item.branches) == 2]
    lists, _ = taken(algorithm(Dpo, pairs, beta=0.3, comparisons="list"))
    values, _ = taken(algorithm(Dpo, pairs, beta=0.3))
    assert lists["loss"] == pytest.approx(values["loss"], abs=LOGPROBS)
    plain, _ = taken(algorithm(Dpo, [TREES[0], TREES[3], TREES[5], TREES[6]], beta=0.3))
    assert abs(plain["loss"] - values["loss"]) > 0.01
