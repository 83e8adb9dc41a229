"""Simple preference optimization (Meng et al. 2024, arXiv 2405.14734).

The reward is the mean log-probability of a response, which is also what guides generation. Long
responses are not favored, and there is no reference. The loss asks for a margin γ between the
rewards.

Added: rankings of K responses, ties (with target margin 0), label smoothing, soft labels (which
reduce the target margin by 2p − 1), weights of rows, a next-token term on the preferred response.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.algorithms.preference import BranchLogprobs, PairwiseAlgorithm
from upbring.maths.ranking_losses import Pairs, bradley_terry


def simple_rewards(branches: BranchLogprobs, beta: float) -> Tensor:
    """Return the reward `[N]` of each branch."""
    # r_SimPO(x, y) = β/|y| · log π_θ(y|x)                                            (equation 4)
    return beta / branches.mean_divisor * branches.policy


def pair_losses(margins: Tensor, pairs: Pairs, *, gamma: float, smoothing: float) -> Tensor:
    """Return the loss `[M]` of each pair."""
    # −log σ( β/|y_w| log π(y_w|x) − β/|y_l| log π(y_l|x) − γ )                       (equation 6)
    target_margins = torch.full_like(margins, gamma)
    return bradley_terry(
        margins, pairs.probability, smoothing=smoothing, target_margins=target_margins
    )


@dataclass(eq=False, kw_only=True)
class Simpo(PairwiseAlgorithm):
    """The loss of a reward model with a target margin, on mean log-probabilities."""

    name = "simpo"

    beta: float
    gamma: float
    label_smoothing: float = 0.0

    def rewards(self, branches: BranchLogprobs) -> Tensor:
        """Return β times the mean log-probability of every branch `[N]`."""
        return simple_rewards(branches, self.beta)

    def margin_loss(self, margins: Tensor, pairs: Pairs) -> Tensor:
        """Return the loss of each pair `[M]`."""
        return pair_losses(margins, pairs, gamma=self.gamma, smoothing=self.label_smoothing)
