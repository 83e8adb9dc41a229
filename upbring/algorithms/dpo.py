"""Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290).

The policy that maximizes a reward under a KL constraint to its reference determines this reward,
up to a constant per prompt: r = β log π/π_ref. The loss of a reward model, applied to this implicit
reward, therefore trains the policy directly.

Left out: RMSprop, the paper's optimizer; AdamW is used, as in the other methods.
Added: rankings of K responses as all their pairs, as best against worst, or as a list (the paper's
appendix A.3); ties; label smoothing (cDPO); soft labels, in the cross-entropy and in the geometric
form (GDPO); weights of rows; means over tokens instead of sums (Tulu 3); Llama 3's
next-token term on the preferred response (`nll_weight`), and its masking of control tokens: the
trees have the mask as the per-token field `counts`.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from upbring.algorithms.preference import (
    BranchLogprobs,
    PairwiseAlgorithm,
    get_per_branch,
    pair_metrics,
)
from upbring.data.trees.batch import Batch
from upbring.maths.ranking_losses import (
    Pairs,
    RankingChoices,
    bradley_terry,
    geometric_bradley_terry,
    plackett_luce,
    ranking_choices,
)
from upbring.train.algorithm import Term, Terms


def implicit_rewards(branches: BranchLogprobs, beta: float) -> Tensor:
    """Return the reward `[N]` of each branch."""
    # r̂(x, y) = β log π_θ(y|x) / π_ref(y|x)                               (equation 5, without Z(x))
    return beta * branches.logratio


def length_normalized_rewards(branches: BranchLogprobs, beta: float) -> Tensor:
    """Return the reward `[N]` of each branch, as a mean over its tokens."""
    # β/|y| · log π_θ(y|x) / π_ref(y|x)                   (Lambert et al. 2024, Tulu 3, equation 6)
    return beta * branches.logratio / branches.mean_divisor


def pair_losses(margins: Tensor, pairs: Pairs, smoothing: float) -> Tensor:
    """Return the loss `[M]` of each pair, the cross-entropy of its label."""
    # −log σ( β log π(y_w)/π_ref(y_w) − β log π(y_l)/π_ref(y_l) )                    (equation 7)
    # −p log σ(β h) − (1 − p) log σ(−β h)         (Mitchell 2023, “cDPO”, equation 3: p = 1 − ε)
    return bradley_terry(margins, pairs.probability, smoothing=smoothing)


def geometric_pair_losses(margins: Tensor, pairs: Pairs, smoothing: float) -> Tensor:
    """Return the loss `[M]` of each pair, its margin scaled by how certain its label is."""
    # −log σ( β (2p̂ − 1) h )                             (Furuta et al. 2024, 2409.06691, GDPO)
    return geometric_bradley_terry(margins, pairs.probability, smoothing=smoothing)


def list_losses(rewards: Tensor, choices: RankingChoices) -> Tensor:
    """Return the loss `[P]` of each ranking, as a list of choices."""
    # −log Π_k exp r̂(y_τ(k)) / Σ_{j ≥ k} exp r̂(y_τ(j))             (equation 20, appendix A.3)
    return plackett_luce(rewards, choices)


@dataclass(eq=False, kw_only=True)
class Dpo(PairwiseAlgorithm):
    """The loss of a reward model, with the policy's implicit reward."""

    name = "dpo"

    beta: float
    label_smoothing: float = 0.0
    is_length_normalized: bool = False
    soft_labels: Literal["cross-entropy", "gdpo"] = "cross-entropy"

    def rewards(self, branches: BranchLogprobs) -> Tensor:
        """Return β log π/π_ref of every branch `[N]`."""
        reward_function = (
            length_normalized_rewards if self.is_length_normalized else implicit_rewards
        )
        return reward_function(branches, self.beta)

    def margin_loss(self, margins: Tensor, pairs: Pairs) -> Tensor:
        """Return the loss of each pair `[M]`."""
        losses = geometric_pair_losses if self.soft_labels == "gdpo" else pair_losses
        return losses(margins, pairs, self.label_smoothing)

    def comparison_weights(self, batch: Batch) -> Tensor:
        """Return the weight of each pair `[M]`, or of each list `[P]`."""
        if self.comparisons != "list":
            return super().comparison_weights(batch)
        return self._ranking_choices(batch).row_weight

    def comparison_terms(self, batch: Batch, branches: BranchLogprobs) -> Terms:
        """Return the loss term of the pairs or of the lists, and metrics of the pairs."""
        if self.comparisons != "list":
            return super().comparison_terms(batch, branches)
        rewards = self.rewards(branches)
        losses = list_losses(rewards, self._ranking_choices(batch))  # [P]
        term = Term(losses, self.comparison_weights(batch))
        return {self.name: term, **pair_metrics(self.pairs(batch), rewards, branches)}

    def _ranking_choices(self, batch: Batch) -> RankingChoices:
        return ranking_choices(
            get_per_branch(batch, self.label_key),
            batch.tree_index,
            smoothing=self.label_smoothing,
            probability=get_per_branch(batch, "probability"),
            row_weight=get_per_branch(batch, "weight"),
        )
