"""Odds ratio preference optimization (Hong et al. 2024, arXiv 2403.07691).

Supervised fine-tuning on the preferred response, plus a loss that increases its odds relative to
the rejected response: one stage from a base model, without a reference.

Left out: the next-token loss on the prompt, which the authors' code and TRL include.
Added: rankings of K responses, ties, soft labels, weights of rows.
"""

from dataclasses import dataclass

from torch import Tensor

from upbring.algorithms.preference import BranchLogprobs, PairwiseAlgorithm
from upbring.maths.implicit_reward import log_odds
from upbring.maths.ranking_losses import Pairs, bradley_terry


def branch_log_odds(branches: BranchLogprobs) -> Tensor:
    """Return the log-odds `[N]` of each branch."""
    # log P_θ(y|x) = 1/m Σ_t log P_θ(y_t | x, y_<t)                                   (equation 3)
    # odds_θ(y|x) = P_θ(y|x) / (1 − P_θ(y|x))                                         (equation 4)
    return log_odds(branches.policy / branches.mean_divisor)


def pair_losses(margins: Tensor, pairs: Pairs) -> Tensor:
    """Return the loss `[M]` of each pair."""
    # L_OR = −log σ( log odds(y_w|x) / odds(y_l|x) )                                  (equation 7)
    return bradley_terry(margins, pairs.probability)


@dataclass(eq=False, kw_only=True)
class Orpo(PairwiseAlgorithm):
    """L = L_SFT + λ · L_OR (equation 6); λ is called beta, as in the authors' code."""

    name = "orpo"

    beta: float
    nll_weight: float = 1.0

    @property
    def coefficient(self) -> float:
        """λ of equation 6."""
        return self.beta

    def rewards(self, branches: BranchLogprobs) -> Tensor:
        """Return the log-odds of every branch `[N]`."""
        return branch_log_odds(branches)

    def margin_loss(self, margins: Tensor, pairs: Pairs) -> Tensor:
        """Return the loss of each pair `[M]`."""
        return pair_losses(margins, pairs)
