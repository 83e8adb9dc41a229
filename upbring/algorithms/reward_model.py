"""The reward model: which of several responses people prefer (Ouyang et al. 2022, §3.5).

    loss(θ) = −1/C(K,2) · E_(x, y_w, y_l)~D [ log σ( r_θ(x, y_w) − r_θ(x, y_l) ) ]    (equation 1)

All C(K,2) comparisons of a ranking are one item: each response is computed once, and gets one
gradient. r is a linear head on the last token's hidden state, without a bias, which a difference
cannot teach (Huang et al. 2024, details 10 and 12).

Left out: dropout; the paper's unembedding layer is never computed.
Added: ties; whole rankings (Plackett–Luce); margins, smoothing and centering; rows that rank
responses to one prompt share its computation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Trees
from upbring.maths.preference_losses import (
    Pairs,
    all_pairs,
    bradley_terry,
    pair_accuracy,
    plackett_luce,
    ranking_choices,
)
from upbring.model.heads import rewards
from upbring.model.network import Model
from upbring.model.packing import make_micro_batches
from upbring.train import processes
from upbring.train.algorithm import EvalSample, Evaluation, Term, Terms
from upbring.train.optimizer import ParameterGroup


def ranking_index(batch: Batch) -> Tensor:
    """Return whose ranking each branch belongs to `[N]`: rows of one prompt may share a tree."""
    if "ranking" not in batch.per_branch:
        return batch.tree_index
    ranking = batch.per_branch["ranking"].nan_to_num(0.0).long()  # [N]
    return batch.tree_index * (1 + ranking.max()) + ranking


def batch_pairs(batch: Batch) -> Pairs:
    """Return the M pairs of all rankings of a batch."""
    return all_pairs(batch.per_branch["rank"], ranking_index(batch))


class Criterion(Protocol):
    """A loss of rankings: what each item weighs, and what it costs under the scores."""

    def weight(self, batch: Batch) -> Tensor:
        """Return the weights `[M]`."""

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the losses `[M]` of all branches' scores `[N]`."""


@dataclass(frozen=True, slots=True)
class BradleyTerry:
    """Every pair of a ranking by itself; all of them weigh as much as one."""

    smoothing: float = 0.0
    margin: float = 0.0

    def weight(self, batch: Batch) -> Tensor:
        """Return 1/C(K,2) for each pair `[M]`."""
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
            margins, pairs_in_batch.is_tie, smoothing=self.smoothing, target_margins=target_margins
        )


@dataclass(frozen=True, slots=True)
class PlackettLuce:
    """Every ranking as a whole: the best is taken first, then the best of those that are left."""

    smoothing: float = 0.0

    def weight(self, batch: Batch) -> Tensor:
        """Return 1 for each ranking `[P]`."""
        choices = ranking_choices(batch.per_branch["rank"], ranking_index(batch))
        return torch.ones(len(choices.tree), device=choices.tree.device)

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each ranking `[P]`."""
        choices = ranking_choices(
            batch.per_branch["rank"], ranking_index(batch), smoothing=self.smoothing
        )
        return plackett_luce(scores, choices)


@dataclass(eq=False)
class RewardAlgorithm:
    """A score for every branch of a tree, learned from their ranks."""

    model: Model
    head: nn.Linear
    active: Callable[[], AbstractContextManager[None]]  # lets the role that learns speak
    trainable: list[ParameterGroup]
    criterion: Criterion
    centering: float
    stream: Stream
    steps: int
    held_out: Trees
    micro_tokens: int
    sample_rankings: Callable[[], Sequence[EvalSample]] = (
        tuple  # fixed rankings as they are scored now
    )
    poll: Callable[[], None] = lambda: None  # raises when the user wants to stop

    def parameters(self) -> list[ParameterGroup]:
        """Return what learns."""
        return self.trainable

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        """Yield each step's trees, packed to the token budget."""
        for trees in self.stream.steps(start, self.steps):
            shard_indices = processes.shard([tree.num_tokens for tree in trees])
            yield make_micro_batches(
                self.model,
                [trees[i] for i in shard_indices],
                self.micro_tokens,
                lanes=self.model.lanes,
            )

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what every pair or ranking weighs `[M]`."""
        term_weights = {"nll": self.criterion.weight(batch)}
        return term_weights | (
            {"centering": batch_pairs(batch).weight} if self.centering > 0 else {}
        )

    def loss(self, batch: Batch) -> Terms:
        """Return the loss of every pair or ranking `[M]`, and what is told beside it."""
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
        """Return held-out numbers, and fixed rankings as they are scored now."""
        del step
        values = self.held_out_means()
        return Evaluation(values, values.get("nll"), tuple(self.sample_rankings()))

    @torch.no_grad()
    def held_out_means(self) -> dict[str, float]:
        """Return the mean of each term over all held-out rankings, if there are any."""
        sums: dict[str, Tensor] = {}
        for batch in make_micro_batches(self.model, self.held_out, self.micro_tokens):
            self.poll()
            for name, term in self.loss(batch).items():
                weighted_loss = (term.loss * term.weight).double().sum()
                weighted_sums = torch.stack([weighted_loss, term.weight.double().sum()]).cpu()
                sums[name] = sums.get(name, 0) + weighted_sums
        return {name: float(s / weight) for name, (s, weight) in sums.items() if weight > 0}

    def state(self) -> dict[str, Tensor]:
        """Return nothing: order and mixture are functions of the step."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take nothing back."""
        assert not state, f"a reward model keeps no state, and got {sorted(state)}"
