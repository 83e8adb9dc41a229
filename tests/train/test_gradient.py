from collections.abc import Iterator, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from tests import tolerances
from tests.families import VOCABULARY, family
from tests.plain import plain_logprobs, random_trees
from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Tree
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.roles import Roles
from upbring.model.score import score_tokens
from upbring.train.algorithm import Evaluation, Term, Terms
from upbring.train.gradient import accumulate, clip_grad_norm
from upbring.train.optimizer import ParameterGroup

TREES = random_trees(VOCABULARY, [(3, (5,)), (7, (4,)), (2, (9,)), (5, (1,))] * 2)


class TwoTerms:
    """Two terms with different denominators, and a metric: tokens, branches, tokens."""

    steps = 1

    def __init__(self, model: Model) -> None:
        self.model = model

    def parameters(self) -> list[ParameterGroup]:
        return [ParameterGroup(dict(self.model.network.named_parameters()))]

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        return iter(([],) * (self.steps - start))

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        return {"nll": batch.weight, "branch": torch.ones(len(batch.tree_index))}

    def loss(self, batch: Batch) -> Terms:
        logprobs = score_tokens(self.model, batch).logprobs
        per_branch = logprobs.new_zeros(len(batch.tree_index)).index_add(
            0, batch.branch_index, logprobs
        )
        return {
            "nll": Term(-logprobs, batch.weight),
            "branch": Term(per_branch.square(), torch.ones(len(batch.tree_index)), 0.01),
            "surprise": Term(logprobs.detach().exp(), batch.weight, 0),
        }

    def first_step_error(self, values: Mapping[str, float]) -> str | None:
        del values
        return None

    def evaluate(self, step: int) -> Evaluation:
        return Evaluation({"step": float(step)})

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        assert not state


class Speaking(TwoTerms):
    """The same, of an adapter."""

    def __init__(self, model: Model, roles: Roles) -> None:
        super().__init__(model)
        self.roles = roles

    def parameters(self) -> list[ParameterGroup]:
        return [ParameterGroup(self.roles.parameters("policy"))]

    def loss(self, batch: Batch) -> Terms:
        with self.roles.active("policy"):
            return super().loss(batch)


def gradient(
    groups: Sequence[Sequence[Tree]],
    *,
    name: str = "llama",
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, dict[str, float]]:
    """Return the gradient of a step, and its metrics."""
    network = family(name, attention=ATTENTION_NAME).to(dtype)
    batches = [make_batch(group) for group in groups]
    metrics = accumulate(TwoTerms(Model(network)), batches)
    return torch.cat([p.grad.flatten().double() for p in network.parameters()]), metrics


@pytest.mark.parametrize(
    ("name", "dtype", "bound"),
    [
        ("llama", torch.float32, tolerances.ACCUMULATED),
        # Llama's norms compute in float32 whatever they are given, GPT-2's do not
        ("gpt2", torch.float64, tolerances.ACCUMULATED_DOUBLE),
    ],
)
@pytest.mark.parametrize("parts", [2, 8])
def test_accumulation_changes_nothing(
    name: str, dtype: torch.dtype, bound: float, parts: int
) -> None:
    whole, metrics = gradient([TREES], name=name, dtype=dtype)
    cut, again = gradient([TREES[i::parts] for i in range(parts)], name=name, dtype=dtype)
    assert (whole - cut).norm() / whole.norm() < bound
    assert again == pytest.approx(metrics, rel=1e-6)


def test_the_order_of_packing_changes_nothing() -> None:
    whole, _ = gradient([TREES])
    turned, _ = gradient([TREES[::-1]])
    assert (whole - turned).norm() / whole.norm() < tolerances.ACCUMULATED


def test_each_term_is_divided_by_its_own_weight_over_the_whole_step() -> None:
    _, metrics = gradient([TREES[:3], TREES[3:]])
    logprobs = plain_logprobs(family("llama"), TREES).detach()
    lengths = [len(tree.branches[0].tokens) for tree in TREES]
    per_branch = torch.stack([part.sum() for part in logprobs.split(lengths)])
    assert metrics["nll"] == pytest.approx(float(-logprobs.mean()), rel=1e-5)
    assert metrics["branch"] == pytest.approx(float(per_branch.square().mean()), rel=1e-5)
    assert metrics["loss"] == pytest.approx(metrics["nll"] + 0.01 * metrics["branch"], rel=1e-6)
    assert metrics["surprise"] == pytest.approx(float(logprobs.exp().mean()), rel=1e-5)


def test_a_weight_that_differs_from_the_declared_one_is_an_error() -> None:
    class Wrong(TwoTerms):
        def weights(self, batch: Batch) -> Mapping[str, Tensor]:
            return {"nll": batch.weight * 2, "branch": torch.ones(len(batch.tree_index))}

    with pytest.raises(AssertionError, match="but `weights` returned"):
        accumulate(Wrong(Model(family("llama", attention=ATTENTION_NAME))), [make_batch(TREES)])


def test_clipping_scales_the_gradient_to_its_limit() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert clip_grad_norm([parameter], 0) == 5
    assert parameter.grad.tolist() == [3, 4]
    assert clip_grad_norm([parameter], 1) == 5
    assert torch.allclose(parameter.grad, torch.tensor([0.6, 0.8]))
