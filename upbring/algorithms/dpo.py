"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

The policy that maximises a reward within reach of its reference has that reward written in it:
r = β log π/π_ref. So the loss of a reward model, with this reward, trains the policy itself.

Left out: RMSprop, with which the paper trains; AdamW is used as everywhere here.
Added: rankings of K responses as all their pairs, as best against worst, or as a list (the paper's
appendix A.3); ties; cDPO's wrong labels; means over tokens instead of sums (Tulu 3); Llama 3's
next-token term on what is preferred (`nll_weight`), and its masking of control tokens, which the
trees bring along as the note `counts`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.algorithms.preference import (
    BranchLogprobs,
    PairwiseAlgorithm,
    get_per_branch,
    pair_metrics,
)
from upbring.data.trees.batch import Batch
from upbring.maths.preference_losses import (
    Pairs,
    RankingChoices,
    bradley_terry,
    plackett_luce,
    ranking_choices,
)
from upbring.train.algorithm import Term, Terms


def implicit_rewards(branches: BranchLogprobs, beta: float) -> Tensor:
    """Return the reward `[N]` of each branch."""
    # r̂(x, y) = β log π_θ(y|x) / π_ref(y|x)                               (equation 5, without Z(x))
    return beta * branches.logratio


def length_normalized_rewards(branches: BranchLogprobs, beta: float) -> Tensor:
    """Return the reward `[N]` of each branch, by the mean over its tokens."""
    # β/|y| · log π_θ(y|x) / π_ref(y|x)                   (Lambert et al. 2024, Tulu 3, equation 6)
    return beta * branches.logratio / branches.mean_divisor


def pair_losses(margins: Tensor, pairs: Pairs, smoothing: float) -> Tensor:
    """Return the loss `[M]` of each pair."""
    # −log σ( β log π(y_w)/π_ref(y_w) − β log π(y_l)/π_ref(y_l) )                    (equation 7)
    # −(1 − ε) log σ(β h) − ε log σ(−β h)                   (Mitchell 2023, “cDPO”, equation 3)
    return bradley_terry(margins, pairs.is_tie, smoothing=smoothing)


def list_losses(rewards: Tensor, choices: RankingChoices) -> Tensor:
    """Return the loss `[P]` of each ranking as a list."""
    # −log Π_k exp r̂(y_τ(k)) / Σ_{j ≥ k} exp r̂(y_τ(j))             (equation 20, appendix A.3)
    return plackett_luce(rewards, choices)


@dataclass(eq=False, kw_only=True)
class Dpo(PairwiseAlgorithm):
    """The loss of a reward model on the policy's own reward."""

    name = "dpo"

    beta: float
    label_smoothing: float = 0.0
    is_length_normalized: bool = False

    def rewards(self, branches: BranchLogprobs) -> Tensor:
        """Return β log π/π_ref of every branch `[N]`."""
        reward_function = (
            length_normalized_rewards if self.is_length_normalized else implicit_rewards
        )
        return reward_function(branches, self.beta)

    def margin_loss(self, margins: Tensor, pairs: Pairs) -> Tensor:
        """Return the loss of each pair `[M]`."""
        return pair_losses(margins, pairs, self.label_smoothing)

    def comparison_weights(self, batch: Batch) -> Tensor:
        """Return what each pair weighs `[M]`, or each list `[P]`."""
        if self.comparisons != "list":
            return super().comparison_weights(batch)
        return torch.ones_like(self._ranking_choices(batch).tree, dtype=torch.float32)

    def comparison_terms(self, batch: Batch, branches: BranchLogprobs) -> Terms:
        """Return the term of the pairs or of the lists, and metrics of the pairs."""
        if self.comparisons != "list":
            return super().comparison_terms(batch, branches)
        rewards = self.rewards(branches)
        losses = list_losses(rewards, self._ranking_choices(batch))  # [P]
        term = Term(losses, self.comparison_weights(batch))
        return {self.name: term, **pair_metrics(self.pairs(batch), rewards, branches)}

    def _ranking_choices(self, batch: Batch) -> RankingChoices:
        return ranking_choices(
            get_per_branch(batch, self.label_key), batch.tree_index, smoothing=self.label_smoothing
        )
