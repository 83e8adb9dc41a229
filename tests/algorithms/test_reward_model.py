"""The loss of rankings against float64 references that use plain transformers only."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import tolerances
from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.algorithms.reward_model import BradleyTerry, Criterion, PlackettLuce, RewardAlgorithm
from upbring.data.trees.merge_rankings import merge_by_prompt
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree
from upbring.errors import Interrupted
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.roles import BASE, Roles
from upbring.train.algorithm import EvalSample
from upbring.train.gradient import accumulate
from upbring.train.optimizer import ParameterGroup

SHAPES = [(3, (5, 2)), (7, (4, 6, 1)), (2, (3, 3)), (4, (2, 1, 5, 3))]
RANKS = ((1, 2), (2, 1, 3), (1, 1), (3, 1, 2, 1))
HEAD_SEED = 5


def ranked(trees: Sequence[Tree], ranks: Sequence[Sequence[float]] = RANKS) -> list[Tree]:
    """Return trees with ranks; the margin of a tree is its index, that of the first is unknown."""
    return [
        replace(
            each,
            key=str(i),
            per_branch={
                "rank": np.asarray(ranks[i], np.float64),
                "margin": np.full(len(ranks[i]), float(i) if i else math.nan),
            },
        )
        for i, each in enumerate(trees)
    ]


TREES = ranked(random_trees(VOCABULARY, SHAPES))


@contextmanager
def activated() -> Iterator[None]:
    yield


def algorithm(
    trees: Sequence[Tree] = TREES,
    criterion: Criterion | None = None,
    *,
    centering: float = 0.0,
    micro_tokens: int = 10_000,
    is_zero: bool = False,
) -> RewardAlgorithm:
    network = family("llama", attention=ATTENTION_NAME)
    roles = Roles(network)
    roles.make_base_trainable()
    roles.add_head(BASE, seed=HEAD_SEED)
    if is_zero:
        torch.nn.init.zeros_(roles.heads[BASE].weight)
    named = {n: p for n, p in roles.parameters(BASE).items() if n != "lm_head.weight"}
    return RewardAlgorithm(
        model=Model(network),
        head=roles.heads[BASE],
        active=activated,
        trainable=[ParameterGroup(named)],
        criterion=criterion or BradleyTerry(),
        centering=centering,
        stream=Stream(trees, (), 0, 1.0, len(trees)),
        steps=1,
        held_out=list(trees),
        micro_tokens=micro_tokens,
        sample_rankings=lambda: [EvalSample("?", "!")],
    )


def taken(ours: RewardAlgorithm) -> tuple[dict[str, float], list[Tensor]]:
    """Return a step's metrics and gradient."""
    (batches,) = ours.batches(0)
    values = accumulate(ours, batches)
    gradients = [p.grad for p in ours.trainable[0].parameters.values()]
    assert all(g is not None for g in gradients)
    return values, [g for g in gradients if g is not None]


def scores(trees: Sequence[Tree]) -> tuple[list[list[Tensor]], list[Tensor]]:
    """Return each tree's scores in float64, one sequence per response; and the weights."""
    network = family("llama", attention="eager").double()
    roles = Roles(family("llama"))
    roles.add_head(BASE, seed=HEAD_SEED)
    head = roles.heads[BASE].weight.detach().double()[0].requires_grad_()
    found = []
    for tree in trees:
        rows = [[*tree.prompt.tolist(), *branch.tokens.tolist()] for branch in tree.branches]
        hidden = [network.base_model(torch.tensor([row])).last_hidden_state[0, -1] for row in rows]
        found.append([state @ head for state in hidden])
    weights = [p for n, p in network.named_parameters() if n != "lm_head.weight"]
    return found, [*weights, head]


def pair_loss(better: Tensor, worse: Tensor, *, is_tie: bool, e: float, m: float) -> Tensor:
    gap = better - worse - (0 if is_tie else m)
    wrong = 0.5 if is_tie else e
    return (1 - wrong) * torch.log1p(torch.exp(-gap)) + wrong * torch.log1p(torch.exp(gap))


def reference(
    trees: Sequence[Tree], *, e: float = 0.0, margin: float = 0.0, centering: float = 0.0
) -> tuple[float, list[Tensor]]:
    """Return the loss of all pairs and its gradient, pair by pair in float64."""
    every, weights = scores(trees)
    total = torch.zeros((), dtype=torch.float64)
    for tree, values in zip(trees, every, strict=True):
        ranks, wanted = tree.per_branch["rank"], float(tree.per_branch["margin"][0])
        m = margin * (1.0 if math.isnan(wanted) else wanted)
        pairs = list(combinations(range(len(values)), 2))
        for i, j in pairs:
            a, b = (i, j) if ranks[i] <= ranks[j] else (j, i)
            loss = pair_loss(values[a], values[b], is_tie=ranks[i] == ranks[j], e=e, m=m)
            total = total + (loss + centering * (values[a] + values[b]) ** 2) / len(pairs)
    total = total / len(trees)
    torch.autograd.backward(total)
    return float(total.detach()), [w.grad.reshape(-1) for w in weights if w.grad is not None]


def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    pairs = list(zip(ours, theirs, strict=True))
    off = sum(float((a.reshape(-1) - b.reshape(-1)).square().sum()) for a, b in pairs)
    return math.sqrt(off / sum(float(b.square().sum()) for _, b in pairs))


@pytest.mark.parametrize(
    ("e", "margin", "centering"),
    [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.3)],
)
def test_loss_and_gradient_of_a_step_equal_the_reference(
    e: float, margin: float, centering: float
) -> None:
    values, gradients = taken(algorithm(TREES, BradleyTerry(e, margin), centering=centering))
    expected, theirs = reference(TREES, e=e, margin=margin, centering=centering)
    assert values["loss"] == pytest.approx(expected, rel=1e-5)
    assert apart(gradients, theirs) <= tolerances.GRADIENTS


def test_the_likelihood_of_a_list_is_the_product_of_its_choices() -> None:
    trees = ranked(random_trees(VOCABULARY, SHAPES[:2]))
    ours = algorithm(trees, PlackettLuce())
    every, _ = scores(trees)
    losses = []
    for tree, values in zip(trees, every, strict=True):
        order = [values[k].detach() for k in np.argsort(tree.per_branch["rank"])]
        chosen = [
            float(r) - math.log(sum(math.exp(s) for s in order[k:])) for k, r in enumerate(order)
        ]
        losses.append(-sum(chosen))
    assert taken(ours)[0]["nll"] == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_a_shared_prompt_has_the_loss_and_gradient_of_separate_prompts() -> None:
    # the reference has no trees: each response follows its own copy of the prompt
    (tree,) = ranked(random_trees(VOCABULARY, [(9, (4, 1, 6, 2, 3))]), [(2, 1, 4, 3, 4)])
    values, gradients = taken(algorithm([tree]))
    expected, theirs = reference([tree])
    assert values["loss"] == pytest.approx(expected, abs=1e-5)
    assert apart(gradients, theirs) <= 1e-5


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (BradleyTerry(), math.log(2)),
        (BradleyTerry(smoothing=0.3), math.log(2)),
        # K = 2, 3, 2, 4: log K!, with and without ties
        (PlackettLuce(), (2 * math.log(2) + math.log(6) + math.log(24)) / 4),
    ],
)
def test_a_zero_head_has_the_loss_of_chance(criterion: Criterion, expected: float) -> None:
    values, _ = taken(algorithm(criterion=criterion, is_zero=True))
    assert values["nll"] == pytest.approx(expected, rel=1e-6)
    assert values["accuracy"] == pytest.approx(0.5)
    assert values["margin"] == values["score"] == 0


@pytest.mark.parametrize("criterion", [BradleyTerry(0.1), PlackettLuce()])
def test_the_split_into_micro_batches_changes_nothing(criterion: Criterion) -> None:
    whole, gradients = taken(algorithm(criterion=criterion, centering=0.1))
    for budget in (1, 20):
        ours = algorithm(criterion=criterion, centering=0.1, micro_tokens=budget)
        (batches,) = ours.batches(0)
        assert len(batches) > 1
        values, parts = taken(ours)
        assert values == pytest.approx(whole, rel=1e-5)
        assert apart(parts, gradients) <= tolerances.ACCUMULATED


def test_both_losses_are_the_same_for_two_responses() -> None:
    pairs = [TREES[0], TREES[2]]
    one, gradients = taken(algorithm(pairs))
    other, theirs = taken(algorithm(pairs, PlackettLuce()))
    assert one == pytest.approx(other, rel=1e-6)
    assert apart(gradients, theirs) <= 1e-6


def test_each_response_is_computed_once_for_any_number_of_pairs() -> None:
    (batch,) = next(iter(algorithm([TREES[3]]).batches(0)))
    assert batch.num_tokens == 4 + 2 + 1 + 5 + 3


def test_rows_with_the_same_prompt_share_a_tree_and_are_separate_rankings() -> None:
    wide = random_trees(VOCABULARY, [(6, (3, 2, 4, 1, 5))])[0]
    rows = [
        replace(wide, branches=wide.branches[:2], key="a"),
        replace(wide, branches=wide.branches[2:], key="b"),
    ]
    apart_rows = ranked(rows, [(1, 2), (3, 1, 2)])
    together = merge_by_prompt(apart_rows)
    assert len(together) == 1
    values, gradients = taken(algorithm([together[0]]))
    expected, theirs = taken(algorithm(apart_rows))
    assert values == pytest.approx(expected, rel=1e-5)
    assert apart(gradients, theirs) <= tolerances.GRADIENTS


def test_held_out_metrics_are_means_over_rankings() -> None:
    ours = algorithm()
    seen = ours.evaluate(3)
    every = [[r.detach() for r in values] for values in scores(TREES)[0]]
    right, margins = [], []  # of each ranking, over its untied pairs
    for tree, values in zip(TREES, every, strict=True):
        ranks = tree.per_branch["rank"]
        gaps = [
            (float(values[i]) - float(values[j])) * float(np.sign(ranks[j] - ranks[i]))
            for i, j in combinations(range(len(values)), 2)
            if ranks[i] != ranks[j]
        ]
        count = len(values) * (len(values) - 1) / 2  # a tie keeps its share of the weight
        right.append((sum(g > 0 for g in gaps) / count, len(gaps) / count))
        margins.append(sum(gaps) / count)
    weight = sum(w for _, w in right)
    assert seen.values["accuracy"] == pytest.approx(sum(r for r, _ in right) / weight, rel=1e-6)
    assert seen.values["margin"] == pytest.approx(sum(margins) / weight, rel=1e-4)
    assert seen.criterion == seen.values["nll"] == pytest.approx(reference(TREES)[0], rel=1e-5)
    assert seen.samples == (EvalSample("?", "!"),)


def test_without_held_out_rankings_there_are_no_metrics() -> None:
    ours = algorithm()
    ours.held_out = []
    assert ours.evaluate(0).values == {}
    assert ours.evaluate(0).criterion is None


def test_an_evaluation_can_be_interrupted() -> None:
    ours = algorithm(micro_tokens=1)

    def poll() -> None:
        raise Interrupted("stop")

    ours.poll = poll
    with pytest.raises(Interrupted):
        ours.evaluate(0)


def test_there_is_no_state() -> None:
    ours = algorithm()
    assert ours.state() == {}
    ours.restore({})
    with pytest.raises(AssertionError, match="keeps no state"):
        ours.restore({"x": torch.zeros(1)})


def test_soft_labels_and_weights_have_the_loss_and_gradient_of_their_equation() -> None:
    soft, row_weights = (0.8, None, 0.5, None), (1.0, 3.0, 2.0, 0.5)
    trees = [
        replace(
            tree,
            per_branch={
                **tree.per_branch,
                "probability": np.full(len(tree.branches), np.nan if p is None else p),
                "weight": np.full(len(tree.branches), w),
            },
        )
        for tree, p, w in zip(TREES, soft, row_weights, strict=True)
    ]
    values, gradients = taken(algorithm(trees, BradleyTerry(smoothing=0.1)))
    every, weights = scores(trees)
    total = torch.zeros((), dtype=torch.float64)
    for tree, r, p, w in zip(trees, every, soft, row_weights, strict=True):
        ranks, pairs = tree.per_branch["rank"], list(combinations(range(len(r)), 2))
        for i, j in pairs:
            a, b = (i, j) if ranks[i] <= ranks[j] else (j, i)
            label = p if p is not None else 0.5 if ranks[i] == ranks[j] else 1.0
            wrong = 1 - (0.9 * label + 0.1 * (1 - label))
            loss = pair_loss(r[a], r[b], is_tie=False, e=wrong, m=0)
            total = total + w * loss / len(pairs)
    total = total / sum(row_weights)
    torch.autograd.backward(total)
    theirs = [each.grad.reshape(-1) for each in weights if each.grad is not None]
    assert values["loss"] == pytest.approx(float(total.detach()), rel=1e-5)
    assert apart(gradients, theirs) <= tolerances.GRADIENTS


def test_a_list_of_two_has_the_soft_loss_of_its_pair_and_every_list_its_weight() -> None:
    facts = {"probability": np.full(2, 0.8), "weight": np.full(2, 5.0)}
    pair = replace(TREES[0], per_branch={**TREES[0].per_branch, **facts})
    unknown = {"probability": np.full(3, np.nan), "weight": np.ones(3)}
    triple = replace(TREES[1], per_branch={**TREES[1].per_branch, **unknown})
    (alone, _), (whole, _), (other, _) = (
        taken(algorithm(trees, PlackettLuce())) for trees in ([pair], [pair, triple], [triple])
    )
    assert alone["nll"] == pytest.approx(taken(algorithm([pair]))[0]["nll"], rel=1e-5)
    assert whole["nll"] == pytest.approx((5 * alone["nll"] + other["nll"]) / 6, rel=1e-5)
