"""Kahneman–Tversky optimization (Ethayarajh et al. 2024, arXiv 2402.01306).

Trains on single responses labeled good or bad; no pairs are needed. The reward of a response is
compared with a reference point z₀: an estimate of KL(π‖π_ref) from responses to other prompts.

z₀ is constant within an optimizer step and has no gradient. It is computed before the step's first
forward pass, from mismatched responses: the last branch of each tree, where the label `good` is
NaN, is a response to another prompt. All trees of the step, on all processes, are the batch of m.

Added: comparisons, as one tree with a good (best) and a bad (worst) response; weights of rows.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from upbring.algorithms.preference import (
    BranchLogprobs,
    PreferenceAlgorithm,
    branch_logprobs,
    get_per_branch,
    side_metrics,
)
from upbring.data.trees.batch import Batch
from upbring.data.trees.tree import Tree, Trees
from upbring.maths.ranking_losses import pair_accuracy
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens
from upbring.train import processes
from upbring.train.algorithm import Term, Terms


def reference_point(log_ratio_sum: float, count: float) -> float:
    """Return z₀, given the sum of log-ratios of `count` mismatched responses; 0 without any."""
    # ẑ₀ = max( 0, 1/m Σ_i log π_θ(y_j|x_i) / π_ref(y_j|x_i) ),  j = (i + 1) mod m     (§4.1)
    return max(0.0, log_ratio_sum / count) if count else 0.0


def kto_losses(
    rewards: Tensor, is_good: Tensor, *, z: float, weights: tuple[float, float]
) -> Tensor:
    """Return the loss `[M]` of responses with `rewards` `[M]`, good (1) or bad (0); z is β z₀."""
    # v(x, y) = λ_D σ(β(r_θ(x, y) − z₀)) if y is desirable, λ_U σ(β(z₀ − r_θ(x, y))) else
    # L_KTO = E[λ_y − v(x, y)]                                                         (equation 8)
    sign, weight = 2 * is_good - 1, torch.where(is_good == 1, *weights)
    return weight * (1 - torch.sigmoid(sign * (rewards - z)))


@dataclass(eq=False, kw_only=True)
class Kto(PreferenceAlgorithm):
    """Loss of each labeled response, relative to the reference point."""

    name = "kto"
    label_key = "good"

    beta: float
    desirable_weight: float = 1.0  # λ_D
    undesirable_weight: float = 1.0  # λ_U
    z: float = field(default=0.0, init=False)  # β z₀ of the step

    def rewards(self, branches: BranchLogprobs) -> Tensor:
        """Return β log π/π_ref of every branch `[N]`."""
        return self.beta * branches.logratio

    def begin_step(self, trees: Trees, shard: Trees) -> list[Batch]:
        """Return a step's micro-batches, after estimating its reference point."""
        split_trees = [_split_mismatched(shard[i], self.label_key) for i in range(len(shard))]
        self.z = self.beta * self._estimate_reference_point(
            [mismatched for _, mismatched in split_trees if mismatched]
        )
        matched = [item for item, _ in split_trees]
        return super().begin_step(trees, matched)

    @torch.no_grad()
    def _estimate_reference_point(self, mismatched: list[Tree]) -> float:
        """Return z₀ of the mismatched trees of all processes."""
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in make_micro_batches(self.model, mismatched, self.micro_tokens):
            self.poll()
            with self.active():
                branches = branch_logprobs(batch, score_tokens(self.model, batch).logprobs)
            ratio = branches.logratio.double()  # [N]
            sums += torch.stack([ratio.sum(), torch.ones_like(ratio).sum()]).cpu()
        total, count = processes.all_reduce_sum(sums).tolist()
        return reference_point(total, count)

    def comparison_weights(self, batch: Batch) -> Tensor:
        """Return the weight of each labeled response `[M]`: that of its row, or 1."""
        indices, _ = self._labeled_branches(batch)
        return get_per_branch(batch, "weight")[indices].nan_to_num(1.0)

    def comparison_terms(self, batch: Batch, branches: BranchLogprobs) -> Terms:
        """Return the loss term of the labeled responses, and metrics of good and bad ones."""
        indices, good = self._labeled_branches(batch)
        rewards = self.rewards(branches)  # [N]
        weights = (self.desirable_weight, self.undesirable_weight)
        weight = self.comparison_weights(batch)
        signed_margins = (2 * good - 1) * (rewards[indices].detach() - self.z)  # [M]
        return {
            self.name: Term(kto_losses(rewards[indices], good, z=self.z, weights=weights), weight),
            "accuracy": Term(pair_accuracy(signed_margins), weight, 0.0),
            **side_metrics(
                "chosen",
                indices[good == 1],
                weight[good == 1],
                rewards=rewards,
                branches=branches,
            ),
            **side_metrics(
                "rejected",
                indices[good == 0],
                weight[good == 0],
                rewards=rewards,
                branches=branches,
            ),
            "kl_estimate": Term(torch.full_like(good, self.z / self.beta), weight, 0.0),
        }

    def _labeled_branches(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the indices `[M]` into N of the labeled branches, and their labels `[M]`."""
        good = get_per_branch(batch, self.label_key)
        indices = (~good.isnan()).nonzero().squeeze(-1)
        return indices, good[indices]


def _split_mismatched(item: Tree, label_key: str) -> tuple[Tree, Tree | None]:
    """Return a tree without its mismatched response, and a tree of that response alone."""
    labels = item.per_branch.get(label_key)
    if labels is None or not np.isnan(labels[-1]):
        return item, None
    labels_by_key = {name: values[:-1] for name, values in item.per_branch.items()}
    mismatched = replace(item, branches=item.branches[-1:], per_branch={})
    return replace(item, branches=item.branches[:-1], per_branch=labels_by_key), mismatched
