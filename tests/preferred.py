"""Rankings with reference log-probabilities, and their losses by plain transformers in float64."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from tests.families import VOCABULARY, family
from tests.plain import plain_logprobs, random_trees
from upbring.algorithms.preference import PreferenceAlgorithm
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens
from upbring.train.gradient import accumulate
from upbring.train.optimizer import ParameterGroup

SHAPES = [
    (3, (5, 2)),
    (1, (4, 3, 6)),
    (2, (1, 7, 2, 5)),
    (5, (2, 2)),
    (4, (3, 4, 1)),
    (6, (9, 8)),
    (2, (3, 3)),
    (7, (1, 1, 1, 2, 1)),
]
RANKS = [[1, 2], [2, 1, 3], [1, 2, 2, 4], [1, 1], [1, 2, 3], [2, 1], [1, 2], [3, 3, 1, 2, 5]]

P = TypeVar("P", bound=PreferenceAlgorithm)


@dataclass(frozen=True)
class BranchLogprobs:
    """The token log-probabilities of one response under the policy and the reference."""

    policy: Tensor  # [c] float64
    reference: Tensor  # [c] float64

    @property
    def ratio(self) -> Tensor:
        return self.policy.sum() - self.reference.sum()


class Cost(Protocol):
    """The loss of one pair."""

    def __call__(self, w: BranchLogprobs, x: BranchLogprobs, *, tied: bool) -> Tensor:
        """Return the loss of a better response `w` and a worse one `x`."""


@contextmanager
def speaking() -> Iterator[None]:
    yield


@cache
def rankings() -> tuple[Tree, ...]:
    """Return trees of 2 to 5 ranked branches, with ties and reference log-probabilities."""
    trees = random_trees(VOCABULARY, SHAPES)
    return tuple(
        replace(item, key=str(i), per_branch={"rank": np.array(RANKS[i], float)})
        for i, item in enumerate(referred(trees))
    )


def referred(trees: Sequence[Tree]) -> list[Tree]:
    """Return trees whose reference log-probabilities are those of a model with another seed."""
    network = family("llama", seed=1).double()
    found = []
    with torch.no_grad():
        for item in trees:
            every = plain_logprobs(network, [item]).numpy()
            ends = np.cumsum([len(branch.tokens) for branch in item.branches])
            notes = np.split(every, ends[:-1])
            branches = zip(item.branches, notes, strict=True)
            found.append(
                replace(
                    item,
                    branches=tuple(replace(b, per_token={"reference": n}) for b, n in branches),
                )
            )
    return found


def own_reference(trees: Sequence[Tree], ours: PreferenceAlgorithm) -> list[Tree]:
    """Return trees whose reference is the model itself."""
    found = []
    for item in trees:
        (batch,) = make_micro_batches(ours.model, [item], 10_000)
        with torch.no_grad():
            every = score_tokens(ours.model, batch).logprobs.numpy()
        ends = np.cumsum([len(b.tokens) for b in item.branches])[:-1]
        parts = zip(item.branches, np.split(every, ends), strict=True)
        branches = tuple(replace(b, per_token={"reference": note}) for b, note in parts)
        found.append(replace(item, branches=branches))
    return found


def algorithm(
    kind: type[P],
    trees: Sequence[Tree],
    *,
    micro_tokens: int = 10_000,
    **fields: Any,
) -> P:
    """Return an algorithm with all trees in one step, and the same trees as held-out data."""
    network = family("llama", attention=ATTENTION_NAME)
    return kind(
        model=Model(network),
        active=speaking,
        trainable=[ParameterGroup(dict(network.named_parameters()))],
        stream=Stream(list(trees), (), 0, 1.0, len(trees)),
        steps=1,
        held_out=list(trees),
        micro_tokens=micro_tokens,
        sample_responses=list,
        **fields,
    )


def taken(ours: PreferenceAlgorithm) -> tuple[dict[str, float], list[Tensor]]:
    """Return the metrics of the first step and its gradient."""
    values = accumulate(ours, next(iter(ours.batches(0))))
    learned = ours.parameters()[0].parameters.values()
    return values, [p.grad.clone() for p in learned if p.grad is not None]


def expected(
    trees: Sequence[Tree], loss: Callable[[list[list[BranchLogprobs]]], Tensor]
) -> tuple[float, list[Tensor]]:
    """Return a loss of the log-probabilities of all branches, and its gradient, in float64."""
    network = family("llama", attention="eager").double()
    logprobs = [
        [
            BranchLogprobs(
                _plain(network, item.prompt.tolist(), branch.tokens.tolist()),
                torch.as_tensor(branch.per_token["reference"], dtype=torch.float64),
            )
            for branch in item.branches
        ]
        for item in trees
    ]
    value = loss(logprobs)
    torch.autograd.backward(value)
    return float(value.detach()), [p.grad for p in network.parameters() if p.grad is not None]


def _plain(network: torch.nn.Module, prompt: list[int], response: list[int]) -> Tensor:
    """Return the log-probability of each token of a response after its prompt."""
    logits = network(input_ids=torch.tensor([prompt + response])).logits[0]
    picked = []
    for place, token in enumerate(response, len(prompt)):
        row = logits[place - 1]
        picked.append(row[token] - row.exp().sum().log())
    return torch.stack(picked)


def distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Return ‖difference‖ / ‖theirs‖ of two gradients."""
    assert len(ours) == len(theirs)
    off = sum(float((a - b).square().sum()) for a, b in zip(ours, theirs, strict=True))
    return float(np.sqrt(off / sum(float(b.square().sum()) for b in theirs)))


def comparisons(ranks: Sequence[float]) -> list[tuple[int, int, bool]]:
    """Return (better, worse, is tied) for each pair of branches."""
    found = []
    for i in range(len(ranks)):
        for j in range(i + 1, len(ranks)):
            better, worse = (i, j) if ranks[i] <= ranks[j] else (j, i)
            found.append((better, worse, ranks[i] == ranks[j]))
    return found


def over_pairs(
    trees: Sequence[Tree],
    logprobs: list[list[BranchLogprobs]],
    loss: Cost,
) -> Tensor:
    """Return the mean over trees of the mean over a tree's pairs."""
    means = []
    for item, branches in zip(trees, logprobs, strict=True):
        found = [
            loss(branches[w], branches[x], tied=tied)
            for w, x, tied in comparisons(item.per_branch["rank"].tolist())
        ]
        means.append(torch.stack(found).mean())
    return torch.stack(means).mean()


def sigmoid_loss(h: Tensor, wrong: float = 0.0) -> Tensor:
    """Return −(1 − ε) log σ(h) − ε log σ(−h), written out."""
    p = 1 / (1 + torch.exp(-h))
    return -(1 - wrong) * torch.log(p) - wrong * torch.log(1 - p)


SOFT_LABELS = (0.75, None, None, 0.5, None, 0.9, 1.0, None)  # of the pairs of `rankings`
ROW_WEIGHTS = (1.0, 0.5, 3.0, 2.0, 1.0, 4.0, 0.25, 1.0)


def soft_rankings() -> list[Tree]:
    """Return `rankings` with the probabilities and the weights above."""
    found = []
    for item, p, w in zip(rankings(), SOFT_LABELS, ROW_WEIGHTS, strict=True):
        K = len(item.branches)
        facts = {"probability": np.full(K, np.nan if p is None else p), "weight": np.full(K, w)}
        found.append(replace(item, per_branch={**item.per_branch, **facts}))
    return found


def over_soft_pairs(
    logprobs: list[list[BranchLogprobs]],
    loss: Callable[[BranchLogprobs, BranchLogprobs, float], Tensor],
) -> Tensor:
    """Return the weighted mean over trees of the mean over pairs, whose loss gets a probability."""
    means = []
    for item, branches, soft, weight in zip(
        rankings(), logprobs, SOFT_LABELS, ROW_WEIGHTS, strict=True
    ):
        pairs = comparisons(item.per_branch["rank"].tolist())
        found = [
            loss(branches[w], branches[x], soft or (0.5 if tied else 1.0)) for w, x, tied in pairs
        ]
        means.append(weight * torch.stack(found).mean())
    return torch.stack(means).sum() / sum(ROW_WEIGHTS)
