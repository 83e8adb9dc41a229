"""Group relative policy optimization (Shao et al. 2024, DeepSeekMath, §4.1).

PPO without a value model: the baseline of a response is the mean reward of its group, the responses
to the same prompt, and all tokens of a response have its advantage. The KL penalty is a loss term,
not a part of the reward.

Left out: process rewards (§4.1.3), and iterated reward models (§4.1.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upbring.algorithms.ppo import clipped_policy_loss
from upbring.algorithms.rl import OnPolicy
from upbring.algorithms.rollout_batch import RolloutBatch
from upbring.data.trees.batch import Batch
from upbring.maths.advantages import group_relative_advantages
from upbring.maths.kl import k3
from upbring.maths.segment_sums import place_at_segment_end, segment_sum
from upbring.settings.methods.grpo import GrpoSettings
from upbring.train.algorithm import Term, Terms


@dataclass(eq=False)
class Grpo(OnPolicy):
    """Clipped policy updates on the advantage of each response within its group."""

    settings: GrpoSettings

    def with_advantages(self, rollouts: RolloutBatch) -> RolloutBatch:
        """Return a round in which each token has the advantage of its response."""
        batch, rewards = rollouts.batch, rollouts.normalized_rewards
        assert rewards is not None, "a round is normalized first"
        advantages = group_relative_advantages(
            rewards, batch.tree_index, len(batch.spans), is_scaled=self.settings.scale_rewards
        )  # [N]
        return replace(
            rollouts,
            token_rewards=place_at_segment_end(rewards, batch.branch_index),
            advantages=advantages[batch.branch_index],
        )

    def loss_weights(self, rollouts: RolloutBatch) -> Mapping[str, Tensor]:
        """Return the weight of every token in the policy and KL terms."""
        names = ("policy", *(("divergence",) if self.settings.kl_coef > 0 else ()))
        return dict.fromkeys(names, self._token_weights(rollouts.batch))

    def losses(self, rollouts: RolloutBatch) -> Terms:
        """Return the losses of every token `[R]`, and metrics."""
        settings, batch = self.settings, rollouts.batch
        advantages = rollouts.advantages
        assert advantages is not None, "a round has advantages"
        weight = self._token_weights(batch)
        logprobs = self.policy_logprobs(batch)  # [R]
        if not settings.needs_old_logprobs:  # π_old is π
            rollouts = _with_own_logprobs(rollouts, logprobs.detach())
        ratio = torch.exp(logprobs - rollouts.old_logprobs)  # [R]
        # 1/G Σ_i 1/|o_i| Σ_t {min(r Â, clip(r, 1 − ε, 1 + ε) Â) − β D_KL(π‖π_ref)}  (equation 3)
        loss = clipped_policy_loss(ratio, advantages, settings.clip_range)
        terms = {"policy": Term(loss, weight)}
        if settings.kl_coef > 0:
            kl = k3(logprobs, rollouts.reference_logprobs)  # [R]
            terms["divergence"] = Term(kl, weight, self.beta)
        return {**terms, **self.metrics(rollouts, logprobs)}

    def _token_weights(self, batch: Batch) -> Tensor:
        """Return `[R]`: 1 for every token, or 1/|o_i|, so that every response counts the same."""
        if self.settings.average == "tokens":
            return batch.weight
        lengths = segment_sum(batch.weight, batch.branch_index, len(batch.last_index))  # [N]
        return batch.weight / lengths[batch.branch_index]


def _with_own_logprobs(rollouts: RolloutBatch, logprobs: Tensor) -> RolloutBatch:
    """Return the rollouts of the policy that has these log-probabilities `[R]`, and their KL."""
    gap = k3(logprobs, rollouts.reference_logprobs)  # [R]
    kl = segment_sum(gap, rollouts.batch.branch_index, len(rollouts.rewards))  # [N]
    return replace(rollouts, old_logprobs=logprobs, kl=kl)
