"""Group relative policy optimisation (Shao et al. 2024, DeepSeekMath, §4.1).

PPO without a value: how good a response is, is told by the others to its prompt, and all of its
tokens have that advantage. The divergence stands in the loss, not in the reward.

Left out: rewards of steps within a response (§4.1.3), and iterated reward models (§4.1.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.algorithms.ppo import clipped_policy_loss
from upbring.algorithms.rl import OnPolicy
from upbring.data.trees.batch import Batch
from upbring.maths.advantages import group_relative_advantages
from upbring.maths.kl import k3
from upbring.maths.segments import place_at_segment_end, segment_sum
from upbring.model.score import score_tokens
from upbring.settings.methods.grpo import GrpoSettings
from upbring.train.algorithm import Term, Terms


@dataclass(eq=False)
class Grpo(OnPolicy):
    """Clipped steps on the advantage of each response within its group."""

    settings: GrpoSettings

    def rewards_and_advantages(
        self, batch: Batch
    ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return each token's advantage: its response's."""
        rewards, groups = batch.per_branch["gain"], len(batch.spans)
        is_scaled = self.settings.scale_rewards
        advantage = group_relative_advantages(
            rewards, batch.tree_index, groups, is_scaled=is_scaled
        )  # [N]
        return {
            "reward": place_at_segment_end(rewards, batch.branch_index),
            "advantage": advantage[batch.branch_index],
        }, {}

    def loss_weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what every token weighs, for the policy and the divergence."""
        names = ("policy", *(("divergence",) if self.settings.kl_coef > 0 else ()))
        return dict.fromkeys(names, self._token_weights(batch))

    def losses(self, batch: Batch) -> Terms:
        """Return the losses of every token `[R]`, and metrics."""
        settings, notes, weight = self.settings, batch.per_token, self._token_weights(batch)
        with self.roles.policy.active():
            logprobs = score_tokens(self.roles.policy.model, batch).logprobs  # [R]
        ratio = torch.exp(logprobs - notes["old"])  # [R]
        # 1/G Σ_i 1/|o_i| Σ_t {min(r Â, clip(r, 1 − ε, 1 + ε) Â) − β D_KL(π‖π_ref)}  (equation 3)
        loss = clipped_policy_loss(ratio, notes["advantage"], settings.clip_range)
        terms = {"policy": Term(loss, weight)}
        if settings.kl_coef > 0:
            terms["divergence"] = Term(k3(logprobs, notes["reference"]), weight, self.beta)
        return {**terms, **self.seen(batch, logprobs)}

    def _token_weights(self, batch: Batch) -> Tensor:
        """Return `[R]`: 1 for every token, or 1/|o_i|, so that every response counts the same."""
        if self.settings.average == "tokens":
            return batch.weight
        lengths = segment_sum(batch.weight, batch.branch_index, len(batch.last_index))  # [N]
        return batch.weight / lengths[batch.branch_index]
