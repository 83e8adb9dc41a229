"""The loss of a batch against a float64 reference that uses plain transformers only."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.algorithms.pretrain import Pretrain
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree
from upbring.errors import Interrupted
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.train.algorithm import EvalSample
from upbring.train.optimizer import ParameterGroup

TREES = random_trees(VOCABULARY, [(3, (5,)), (1, (4,)), (2, (9,)), (5, (2,)), (4, (7,)), (6, (1,))])


@contextmanager
def activated() -> Iterator[None]:
    yield


def algorithm(*, held_out: list[Tree] | None = None, micro_tokens: int = 20) -> Pretrain:
    network = family("llama", attention=ATTENTION_NAME)
    return Pretrain(
        model=Model(network),
        active=activated,
        trainable=[ParameterGroup(dict(network.named_parameters()))],
        stream=Stream(TREES, (), 0, 2.0, 3),
        steps=4,
        held_out=TREES[:4] if held_out is None else held_out,
        micro_tokens=micro_tokens,
        sample_responses=lambda: [EvalSample("?", "!")],
    )


def reference(trees: list[Tree]) -> tuple[float, list[Tensor]]:
    """Return Σ w·(−log p) / Σ w and its gradient, in float64, one sequence at a time."""
    network = family("llama", attention="eager").double()
    total, weight = torch.zeros((), dtype=torch.float64), 0.0
    for item in trees:
        (branch,) = item.branches
        tokens = [*item.prompt.tolist(), *branch.tokens.tolist()]
        every = network(input_ids=torch.tensor([tokens])).logits[0]
        for place, (token, w) in enumerate(
            zip(branch.tokens.tolist(), branch.weight.tolist(), strict=True), len(item.prompt)
        ):
            logits = every[place - 1]
            total = total - w * (logits[token] - logits.exp().sum().log())
            weight += w
    loss = total / weight
    loss.backward()
    return float(loss.detach()), [p.grad for p in network.parameters() if p.grad is not None]


def test_the_loss_of_a_step_and_its_gradient_equal_the_reference() -> None:
    ours = algorithm()
    batches = next(iter(ours.batches(0)))
    assert len(batches) > 1
    weight = sum(float(b.weight.sum()) for b in batches)
    sums = []
    for batch in batches:
        (term,) = ours.loss(batch).values()
        assert torch.equal(term.weight, ours.weights(batch)["nll"])
        assert term.coefficient == 1
        sums.append((term.loss * term.weight).sum())
    (torch.stack(sums).sum() / weight).backward()
    expected, gradients = reference(ours.stream.step_trees(0))
    assert float(torch.stack(sums).sum().detach()) / weight == pytest.approx(expected, rel=1e-5)
    found = [p.grad for p in ours.trainable[0].parameters.values() if p.grad is not None]
    assert len(found) == len(gradients)
    off = sum(float((a - b).square().sum()) for a, b in zip(found, gradients, strict=True))
    assert math.sqrt(off) <= 1e-5 * math.sqrt(sum(float(b.square().sum()) for b in gradients))


def test_the_held_out_loss_is_the_mean_over_tokens_and_the_perplexity_its_exponential() -> None:
    ours = algorithm()
    expected, _ = reference(TREES[:4])
    seen = ours.evaluate(3)
    assert seen.values["nll"] == pytest.approx(expected, rel=1e-5)
    assert seen.values["perplexity"] == pytest.approx(math.exp(expected), rel=1e-4)
    assert seen.criterion == seen.values["nll"]
    assert seen.samples == (EvalSample("?", "!"),)


def test_the_token_budget_does_not_change_the_held_out_loss() -> None:
    small, large = algorithm(micro_tokens=1).evaluate(0), algorithm(micro_tokens=10_000).evaluate(0)
    assert small.criterion == pytest.approx(large.criterion, rel=1e-5)


def test_without_held_out_rows_there_are_no_metrics() -> None:
    seen = algorithm(held_out=[]).evaluate(0)
    assert seen.values == {}
    assert seen.criterion is None


def test_the_batches_of_a_step_do_not_depend_on_the_first_step() -> None:
    ours = algorithm()
    every = [sorted(t for b in step for t in b.target.tolist()) for step in ours.batches(0)]
    later = [sorted(t for b in step for t in b.target.tolist()) for step in ours.batches(2)]
    assert len(every) == 4
    assert later == every[2:]


def test_an_evaluation_can_be_interrupted() -> None:
    ours = algorithm(micro_tokens=1)
    seen: list[int] = []

    def poll() -> None:
        seen.append(len(seen))
        if len(seen) == 2:
            raise Interrupted("stop")

    ours.poll = poll
    with pytest.raises(Interrupted):
        ours.evaluate(0)
    assert len(seen) == 2


def test_there_is_no_state() -> None:
    ours = algorithm()
    assert ours.state() == {}
    ours.restore({})
    with pytest.raises(AssertionError, match="keeps no state"):
        ours.restore({"x": torch.zeros(1)})
