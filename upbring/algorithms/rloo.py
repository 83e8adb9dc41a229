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
from upbring.maths.advantages import leave_one_out_advantages
from upbring.maths.kl import k1
from upbring.maths.segments import place_at_segment_end, segment_sum, whiten
from upbring.model.score import score_tokens
from upbring.settings.methods.rloo import RlooSettings
from upbring.train.algorithm import Term, Terms


@dataclass(eq=False)
class Rloo(OnPolicy):
    """Steps on the advantage of each whole response over the others to its prompt."""

    settings: RlooSettings

    def rewards_and_advantages(
        self, batch: Batch
    ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return each response's advantage, also as one of its tokens."""
        # R(x, y) = r(x, y) − β log(π(y|x) / π_ref(y|x))                              (equation 3)
        kl = k1(batch.per_token["old"], batch.per_token["reference"])  # [R]
        kl_penalty = self.beta * segment_sum(kl, batch.branch_index, len(batch.last_index))  # [N]
        advantage = leave_one_out_advantages(
            batch.per_branch["gain"] - kl_penalty, batch.tree_index, len(batch.spans)
        )  # [N]
        advantage = whiten(advantage) if self.settings.whiten_advantages else advantage
        return {
            "reward": place_at_segment_end(batch.per_branch["gain"], batch.branch_index)
            - self.beta * kl,
            "advantage": advantage[batch.branch_index],
        }, {"advantage": advantage}

    def loss_weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return 1 for every response `[N]`."""
        return {"policy": batch.weight.new_ones(len(batch.last_index))}

    def losses(self, batch: Batch) -> Terms:
        """Return the loss of every response `[N]`, and metrics."""
        with self.roles.policy.active():
            logprobs = score_tokens(self.roles.policy.model, batch).logprobs  # [R]
        log_ratio = segment_sum(
            logprobs - batch.per_token["old"], batch.branch_index, len(batch.last_index)
        )  # [N]
        loss = clipped_policy_loss(
            torch.exp(log_ratio), batch.per_branch["advantage"], self.settings.clip_range
        )
        terms = {"policy": Term(loss, self.loss_weights(batch)["policy"])}
        return {**terms, **self.seen(batch, logprobs)}
