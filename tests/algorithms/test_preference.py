"""What DPO, IPO, KTO, ORPO and SimPO share: micro-batches, next-token terms, masking, bands."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from tests.preferred import BranchLogprobs, algorithm, distance, expected, rankings, taken
from tests.tolerances import ACCUMULATED, GRADIENTS, LOGPROBS
from upbring.algorithms.dpo import Dpo
from upbring.algorithms.ipo import Ipo
from upbring.algorithms.kto import Kto
from upbring.algorithms.orpo import Orpo
from upbring.algorithms.preference import PreferenceAlgorithm
from upbring.algorithms.simpo import Simpo
from upbring.data.trees.shared_tokens import unshared_token_masks
from upbring.data.trees.tree import Tree
from upbring.errors import Interrupted
from upbring.model.network import Model
from upbring.train.optimizer import ParameterGroup

TREES = rankings()
SHOWN = random_trees(VOCABULARY, [(2, (3,)), (4, (6,))])
BEST = [0, 1, 0, 0, 0, 1, 0, 2]  # branch of each ranking; the first one of ties
KINDS: dict[type[PreferenceAlgorithm], dict[str, Any]] = {
    Dpo: {"beta": 0.3, "nll_weight": 0.2},
    Ipo: {"beta": 0.3},
    Kto: {"beta": 0.3},
    Orpo: {"beta": 0.3},
    Simpo: {"beta": 2.0, "gamma": 1.0},
}


def judged(trees: Sequence[Tree]) -> list[Tree]:
    """Return trees whose first branch is good, the last mismatched and the others bad."""
    found = []
    for item in trees:
        good = np.zeros(len(item.branches))
        good[0], good[-1] = 1, np.nan
        found.append(
            replace(item, per_branch={"good": good}) if "rank" in item.per_branch else item
        )
    return found


@pytest.mark.parametrize("kind", list(KINDS), ids=lambda kind: kind.__name__)
def test_the_split_into_micro_batches_changes_nothing(kind: type[PreferenceAlgorithm]) -> None:
    trees = [*TREES[:6], *SHOWN]
    trees = judged(trees) if kind is Kto else trees
    whole, gradient = taken(algorithm(kind, trees, **KINDS[kind]))
    for budget, parts in ((50, 2), (1, 8)):
        ours = algorithm(kind, trees, micro_tokens=budget, **KINDS[kind])
        assert len(next(iter(ours.batches(0)))) >= parts
        values, other = taken(ours)
        assert values == pytest.approx(whole, rel=1e-5, abs=1e-6)
        assert distance(other, gradient) < ACCUMULATED


@pytest.mark.parametrize("kind", list(KINDS), ids=lambda kind: kind.__name__)
def test_sharing_the_prompt_changes_nothing(kind: type[PreferenceAlgorithm]) -> None:
    """The float64 references repeat the prompt for each response; here both are float32."""
    trees = judged(TREES) if kind is Kto else TREES
    apart = algorithm(kind, trees, **KINDS[kind])
    network = family("llama")
    apart.model = Model(network, is_packed=False)
    apart.trainable = [ParameterGroup(dict(network.named_parameters()))]
    values, gradient = taken(algorithm(kind, trees, **KINDS[kind]))
    others, theirs = taken(apart)
    assert values == pytest.approx(others, rel=1e-4, abs=LOGPROBS)
    assert distance(gradient, theirs) < 1e-5


def test_the_next_token_term_is_the_mean_over_the_tokens_of_the_best_branches() -> None:
    def loss(logprobs: list[list[BranchLogprobs]]) -> Tensor:
        best = [branches[i].policy for branches, i in zip(logprobs, BEST, strict=True)]
        return -torch.cat(best).mean()

    plain, _ = taken(algorithm(Dpo, TREES, beta=0.3))
    values, _ = taken(algorithm(Dpo, TREES, beta=0.3, nll_weight=0.2))
    value, _ = expected(TREES, loss)
    assert values["nll"] == pytest.approx(value, rel=LOGPROBS)
    assert values["loss"] == pytest.approx(plain["loss"] + 0.2 * value, rel=LOGPROBS)
    assert values["dpo"] == pytest.approx(plain["dpo"], rel=1e-6)
    assert "nll" not in plain


def test_a_mixed_in_demonstration_counts_as_much_as_a_comparison() -> None:
    values, _ = taken(algorithm(Dpo, [*TREES, *SHOWN], beta=0.3, mix_weight=0.5))
    plain, _ = taken(algorithm(Dpo, TREES, beta=0.3))
    assert values["dpo"] == pytest.approx(plain["dpo"], rel=1e-6)
    assert values["loss"] == pytest.approx(values["dpo"] + 0.5 * 2 / 8 * values["replay"])
    alone, _ = taken(algorithm(Dpo, SHOWN, beta=0.3))
    assert alone["replay"] == pytest.approx(values["replay"], rel=1e-6)
    assert alone["loss"] == pytest.approx(2 * alone["replay"])  # 2 demonstrations, no comparison


def test_tokens_that_do_not_count_change_neither_loss_nor_gradient() -> None:
    stop = 2
    trees = [
        replace(
            item,
            branches=tuple(
                replace(
                    b,
                    tokens=np.append(b.tokens, stop).astype(np.int32),
                    weight=np.append(b.weight, 1).astype(np.float32),
                    per_token={"reference": np.append(b.per_token["reference"], -3.0)},
                )
                for b in item.branches
            ),
        )
        for item in TREES
    ]
    counted = [
        replace(
            item,
            branches=tuple(
                replace(b, per_token={**b.per_token, "counts": counts})
                for b, counts in zip(item.branches, unshared_token_masks(item, {stop}), strict=True)
            ),
        )
        for item in trees
    ]
    plain, gradient = taken(algorithm(Dpo, TREES, beta=0.3))
    counting, other = taken(algorithm(Dpo, counted, beta=0.3))
    assert counting["loss"] == pytest.approx(plain["loss"], rel=LOGPROBS)
    assert distance(other, gradient) < GRADIENTS
    assert taken(algorithm(Dpo, trees, beta=0.3))[0]["loss"] != pytest.approx(plain["loss"])
    both = [taken(algorithm(Dpo, t, beta=0.3, nll_weight=1.0))[0]["nll"] for t in (trees, counted)]
    assert both[0] == both[1]  # the stop token keeps its next-token loss


def test_held_out_values_are_those_of_a_step_on_the_same_rows() -> None:
    ours = algorithm(Dpo, TREES, beta=0.3, nll_weight=0.2, micro_tokens=20)
    seen = ours.evaluate(0)
    values, _ = taken(ours)
    assert seen.criterion == seen.values["loss"]
    assert seen.values == pytest.approx({n: values[n] for n in seen.values}, rel=1e-5)


def test_a_metric_that_leaves_its_healthy_range_is_logged_once() -> None:
    lines: list[str] = []
    untied = [item for item in TREES if len(set(item.per_branch["rank"].tolist())) > 1]
    ratios = [algorithm(Dpo, [t], beta=0.3).evaluate(0).values["chosen_logratio"] for t in untied]
    lowest = untied[ratios.index(min(ratios))]
    ours = algorithm(Dpo, [lowest], beta=0.3, log=lines.append, reference_kl=lambda: {"kl": 30.0})
    seen = ours.evaluate(4).values
    ours.evaluate(5)
    assert seen["kl"] == 30
    assert seen["chosen_logratio"] < -0.1
    displaced, far = lines
    assert displaced.startswith("step 4: held-out chosen logratio is -")
    assert "(likelihood displacement)" in displaced
    assert "nll_weight" in displaced
    assert far.startswith("step 4: held-out kl is 30; healthy is at most 25. ")


def test_without_held_out_rows_there_are_no_metrics() -> None:
    ours = algorithm(Dpo, TREES, beta=0.3)
    ours.held_out = []
    seen = ours.evaluate(0)
    assert seen.values == {}
    assert seen.criterion is None


def test_an_evaluation_can_be_interrupted() -> None:
    def poll() -> None:
        raise Interrupted("stop")

    ours = algorithm(Dpo, TREES, beta=0.3)
    ours.poll = poll
    with pytest.raises(Interrupted):
        ours.evaluate(0)


def test_there_is_no_state() -> None:
    ours = algorithm(Dpo, TREES, beta=0.3)
    assert ours.state() == {}
    ours.restore({})
    with pytest.raises(AssertionError, match="Dpo keeps no state"):
        ours.restore({"x": torch.zeros(1)})
