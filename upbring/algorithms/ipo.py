"""Identity preference optimization (Azar et al. 2023, arXiv 2310.12036).

DPO's loss keeps falling as the log-ratios of two responses move apart; with deterministic labels it
ignores the reference. IPO regresses the margin onto a target: a margin above the target costs as
much as one below it.

Added: rankings of K responses, ties (with target 0), soft labels,
weights of rows, means over tokens instead of sums, a
next-token term, masking of control tokens.
"""

from dataclasses import dataclass

from torch import Tensor

from upbring.algorithms.preference import BranchLogprobs, PairwiseAlgorithm
from upbring.maths.ranking_losses import Pairs


def pair_losses(h: Tensor, probability: Tensor, beta: float) -> Tensor:
    """Return the loss `[M]` of pairs whose log-ratios differ by h `[M]`; β is the paper's τ."""
    # ( h_π(y_w, y_l, x) − τ⁻¹/2 )²                                                  (equation 17)
    # ( h_π(y, y', x) − τ⁻¹(p*(y ≻ y') − ½) )²      (population form: p* is the soft label, ½ a tie)
    return (h - (probability - 0.5) / beta) ** 2


@dataclass(eq=False, kw_only=True)
class Ipo(PairwiseAlgorithm):
    """Squared distance of the log-ratio margin from its target 1/(2β)."""

    name = "ipo"

    beta: float
    is_length_normalized: bool = False

    def rewards(self, branches: BranchLogprobs) -> Tensor:
        """Return log π/π_ref of every branch `[N]`."""
        ratio = branches.logratio
        return ratio / branches.mean_divisor if self.is_length_normalized else ratio

    def margin_loss(self, margins: Tensor, pairs: Pairs) -> Tensor:
        """Return the loss of each pair `[M]`."""
        return pair_losses(margins, pairs.probability, self.beta)
