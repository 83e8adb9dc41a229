"""REINFORCE leave-one-out (Ahmadian et al. 2024, “Back to Basics”, §3).

A whole response is one action. Its reward, less the divergence of all its tokens, is measured by
the mean of the other responses to its prompt.

Added: where a round makes several steps, the ratio of the response is clipped as in PPO; in the
first step the gradient is REINFORCE's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.algorithms.ppo import clipped_policy_loss
from upbring.algorithms.rl import OnPolicy
from upbring.data.trees.batch import Batch
from upbring.maths.advantages import left_out
from upbring.maths.kl import k1
from upbring.maths.segments import at_last, sums, whitened
from upbring.model.score import score
from upbring.settings.methods.rloo import RlooSettings
from upbring.train.algorithm import Term, Terms


@dataclass(eq=False)
class Rloo(OnPolicy):
    """Steps on the advantage of each whole response over the others to its prompt."""

    settings: RlooSettings

    def credit(self, batch: Batch) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return each response's advantage, also as one of its tokens."""
        # R(x, y) = r(x, y) − β log(π(y|x) / π_ref(y|x))                              (equation 3)
        gap = k1(batch.notes["old"], batch.notes["reference"])  # [R]
        paid = self.beta * sums(gap, batch.branch, len(batch.last))  # [N]
        advantage = left_out(batch.facts["gain"] - paid, batch.tree, len(batch.spans))  # [N]
        advantage = whitened(advantage) if self.settings.whiten else advantage
        return {
            "reward": at_last(batch.facts["gain"], batch.branch) - self.beta * gap,
            "advantage": advantage[batch.branch],
        }, {"advantage": advantage}

    def announce(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return 1 for every response `[N]`."""
        return {"policy": batch.weight.new_ones(len(batch.last))}

    def learn(self, batch: Batch) -> Terms:
        """Return the loss of every response `[N]`, and metrics."""
        with self.players.policy.speaking():
            logprobs = score(self.players.policy.model, batch).logprobs  # [R]
        moved = sums(logprobs - batch.notes["old"], batch.branch, len(batch.last))  # [N]
        loss = clipped_policy_loss(
            torch.exp(moved), batch.facts["advantage"], self.settings.ratio_clip
        )
        terms = {"policy": Term(loss, self.announce(batch)["policy"])}
        return {**terms, **self.seen(batch, logprobs)}
