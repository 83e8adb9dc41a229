"""REINFORCE leave-one-out (Ahmadian et al. 2024, “Back to Basics”, §3).

A whole response is one action. Its baseline is the mean reward of the other responses to the same
prompt; a reward includes the KL penalty of all tokens of the response.

Added: if a round has several steps, the ratio of the response is clipped as in PPO; in the first
step the gradient is that of REINFORCE.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upbring.algorithms.ppo import clipped_policy_loss
from upbring.algorithms.rl import OnPolicy
from upbring.algorithms.rollout_batch import RolloutBatch
from upbring.maths.advantages import leave_one_out_advantages
from upbring.maths.kl import k1
from upbring.maths.segment_sums import place_at_segment_end, segment_sum, whiten
from upbring.settings.methods.rloo import RlooSettings
from upbring.train.algorithm import Term, Terms


@dataclass(eq=False)
class Rloo(OnPolicy):
    """Policy updates on the advantage of each whole response over the others to its prompt."""

    settings: RlooSettings

    def with_advantages(self, rollouts: RolloutBatch) -> RolloutBatch:
        """Return a round in which each response and all its tokens have the same advantage."""
        batch, rewards = rollouts.batch, rollouts.normalized_rewards
        assert rewards is not None, "a round is normalized first"
        # R(x, y) = r(x, y) − β log(π(y|x) / π_ref(y|x))                              (equation 3)
        log_ratio = k1(rollouts.old_logprobs, rollouts.reference_logprobs)  # [R]
        penalty = self.beta * segment_sum(log_ratio, batch.branch_index, len(rewards))  # [N]
        advantages = leave_one_out_advantages(
            rewards - penalty, batch.tree_index, len(batch.spans)
        )  # [N]
        advantages = whiten(advantages) if self.settings.whiten_advantages else advantages
        return replace(
            rollouts,
            token_rewards=place_at_segment_end(rewards, batch.branch_index) - self.beta * log_ratio,
            advantages=advantages[batch.branch_index],
            response_advantages=advantages,
        )

    def loss_weights(self, rollouts: RolloutBatch) -> Mapping[str, Tensor]:
        """Return 1 for every response `[N]`."""
        return {"policy": rollouts.batch.weight.new_ones(len(rollouts.rewards))}

    def losses(self, rollouts: RolloutBatch) -> Terms:
        """Return the loss of every response `[N]`, and metrics."""
        batch, advantages = rollouts.batch, rollouts.response_advantages
        assert advantages is not None, "a round has advantages"
        logprobs = self.policy_logprobs(batch)  # [R]
        log_ratio = segment_sum(
            logprobs - rollouts.old_logprobs, batch.branch_index, len(advantages)
        )  # [N]
        loss = clipped_policy_loss(torch.exp(log_ratio), advantages, self.settings.clip_range)
        terms = {"policy": Term(loss, self.loss_weights(rollouts)["policy"])}
        return {**terms, **self.metrics(rollouts, logprobs)}
