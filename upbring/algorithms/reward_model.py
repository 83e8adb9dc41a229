"""The reward model: predicts which of several responses people prefer (Ouyang et al. 2022, §3.5).

    loss(θ) = −1/C(K,2) · E_(x, y_w, y_l)~D [ log σ( r_θ(x, y_w) − r_θ(x, y_l) ) ]    (equation 1)

All C(K,2) comparisons of a ranking are one item: each response is computed once and gets one
gradient. r is a linear head on the last token's hidden state (Huang et al. 2024, details 10 and
12). It has no bias: a bias cancels in the difference and gets no gradient.

Left out: dropout. The unembedding layer is not computed, as in the paper.
Added: ties; whole rankings (Plackett–Luce); margins, label smoothing and centering; soft labels (by
cross-entropy) and weights of rows; rows with the same prompt share its computation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from upbring.algorithms.supervised import Stateless, held_out_means, iterate_steps
from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Trees
from upbring.maths.ranking_losses import (
    Pairs,
    RankingChoices,
    all_pairs,
    bradley_terry,
    pair_accuracy,
    plackett_luce,
    ranking_choices,
)
from upbring.model.heads import rewards
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.tracking import Track, no_tracking
from upbring.train.algorithm import EvalSample, Evaluation, Term, Terms
from upbring.train.optimizer import ParameterGroup


def ranking_index(batch: Batch) -> Tensor:
    """Return the ranking of each branch `[N]`: several rows with one prompt may share a tree."""
    if "ranking" not in batch.per_branch:
        return batch.tree_index
    ranking = batch.per_branch["ranking"].nan_to_num(0.0).long()  # [N]
    return batch.tree_index * (1 + ranking.max()) + ranking


def batch_pairs(batch: Batch) -> Pairs:
    """Return the M pairs of all rankings of a batch."""
    facts = batch.per_branch
    return all_pairs(
        facts["rank"],
        ranking_index(batch),
        probability=facts.get("probability"),
        row_weight=facts.get("weight"),
    )


def batch_choices(batch: Batch, smoothing: float) -> RankingChoices:
    """Return the choices of the P rankings of a batch."""
    facts = batch.per_branch
    return ranking_choices(
        facts["rank"],
        ranking_index(batch),
        smoothing=smoothing,
        probability=facts.get("probability"),
        row_weight=facts.get("weight"),
    )


class Criterion(Protocol):
    """A loss of rankings, whose items are pairs or whole rankings."""

    def weight(self, batch: Batch) -> Tensor:
        """Return the weight of each item `[M]`."""

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each item `[M]`, given the scores of all branches `[N]`."""


@dataclass(frozen=True, slots=True)
class BradleyTerry:
    """The loss of each pair of a ranking; the weights of a ranking's pairs sum to 1."""

    smoothing: float = 0.0
    margin: float = 0.0

    def weight(self, batch: Batch) -> Tensor:
        """Return 1/C(K,2) times the row's weight for each pair `[M]`."""
        return batch_pairs(batch).weight

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each pair `[M]`."""
        pairs_in_batch = batch_pairs(batch)
        target_margins = None
        if self.margin > 0:
            target_margins = self.margin * batch.per_branch["margin"][
                pairs_in_batch.better
            ].nan_to_num(1.0)  # [M]
        margins = scores[pairs_in_batch.better] - scores[pairs_in_batch.worse]  # [M]
        return bradley_terry(
            margins,
            pairs_in_batch.probability,
            smoothing=self.smoothing,
            target_margins=target_margins,
        )


@dataclass(frozen=True, slots=True)
class PlackettLuce:
    """The loss of a whole ranking: the best is chosen first, then the best of the remaining."""

    smoothing: float = 0.0

    def weight(self, batch: Batch) -> Tensor:
        """Return the weight of each ranking's row `[P]`."""
        return batch_choices(batch, self.smoothing).row_weight

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each ranking `[P]`."""
        return plackett_luce(scores, batch_choices(batch, self.smoothing))


@dataclass(eq=False)
class RewardAlgorithm(Stateless):
    """A score for every branch of a tree, trained on the branches' ranks."""

    model: Model
    head: nn.Linear
    active: Callable[[], AbstractContextManager[None]]  # activates the trained role's adapter
    trainable: list[ParameterGroup]
    criterion: Criterion
    centering: float
    stream: Stream
    steps: int
    held_out: Trees
    micro_tokens: int
    # returns the fixed rankings with their current scores
    sample_rankings: Callable[[], Sequence[EvalSample]] = tuple
    poll: Callable[[], None] = lambda: None  # raises when the user wants to stop
    track: Track = no_tracking  # shows how far a long evaluation is

    def parameters(self) -> list[ParameterGroup]:
        """Return the trained parameters."""
        return self.trainable

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        """Yield each step's trees, packed to the token budget."""
        for step in iterate_steps(self.stream, start, self.steps):
            yield make_micro_batches(self.model, step.own, self.micro_tokens)

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the weight of every pair or ranking `[M]`."""
        term_weights = {"nll": self.criterion.weight(batch)}
        return term_weights | (
            {"centering": batch_pairs(batch).weight} if self.centering > 0 else {}
        )

    def loss(self, batch: Batch) -> Terms:
        """Return the loss of every pair or ranking `[M]`, and metrics."""
        with self.active():
            scores = rewards(self.model, self.head, batch)  # [N]
        pairs_in_batch = batch_pairs(batch)
        better, worse = scores[pairs_in_batch.better], scores[pairs_in_batch.worse]  # [M]
        non_tie_weight = pairs_in_batch.weight * ~pairs_in_batch.is_tie  # [M]
        margins = (better - worse).detach()  # [M]
        terms = {
            "nll": Term(self.criterion.loss(scores, batch), self.criterion.weight(batch)),
            "accuracy": Term(pair_accuracy(margins), non_tie_weight, 0.0),
            "margin": Term(margins, non_tie_weight, 0.0),
            "score": Term(scores.detach(), torch.ones_like(scores), 0.0),
        }
        if self.centering > 0:
            # (r(x, y⁺) + r(x, y⁻))²                            (Eisenstein et al. 2023, equation 2)
            terms["centering"] = Term(
                (better + worse).square(), pairs_in_batch.weight, self.centering
            )
        return terms

    def evaluate(self, step: int) -> Evaluation:
        """Return held-out metrics, and the fixed rankings with their current scores."""
        del step
        values = self.held_out_means()
        return Evaluation(values, values.get("nll"), tuple(self.sample_rankings()))

    def held_out_means(self) -> dict[str, float]:
        """Return the mean of each term over all held-out rankings; empty without any."""
        batches = make_micro_batches(self.model, self.held_out, self.micro_tokens)
        means = held_out_means(self.loss, batches, self.poll, self.track)
        return {name: value for name, value in means.items() if name != "loss"}
