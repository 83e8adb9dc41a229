"""Proximal policy optimization (Schulman et al. 2017) as in InstructGPT (Ouyang et al. 2022).

The objective is E[r(x, y) − β KL(π‖π_SFT)] + γ E_replay[log π]. Each token has an advantage, from a
value model that is trained together with the policy. Details follow Huang et al. 2024.

Left out: dropout, with which the first ratio would not be 1; temperatures other than 1.
Added: policy and value model share one base model in memory; optionally the KL penalty is a loss
term instead of a part of the reward.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from upbring.algorithms.rl import OnPolicy
from upbring.algorithms.rollout_batch import RolloutBatch
from upbring.algorithms.sample_round import RoleModel
from upbring.data.trees.batch import Batch
from upbring.maths.advantages import gae
from upbring.maths.kl import KL_ESTIMATORS
from upbring.maths.segment_sums import place_at_segment_end, whiten
from upbring.model.network import hidden_states
from upbring.model.score import score_hidden_states
from upbring.settings.methods.ppo import PpoSettings
from upbring.train.algorithm import Term, Terms


def clipped_policy_loss(ratio: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """Return the loss `[R]` of each token, given its ratio r_t = π/π_old and its advantage."""
    # L = −min(r_t Â_t, clip(r_t, 1 − ε, 1 + ε) Â_t)         (Schulman et al. 2017, equation 7)
    return -torch.minimum(
        ratio * advantage, ratio.clamp(1 - clip_range, 1 + clip_range) * advantage
    )


def clipped_value_loss(
    value: Tensor, old_value: Tensor, returns: Tensor, clip_range: float
) -> Tensor:
    """Return the loss `[R]` of values, clipped to old values ± `clip_range`; 0: unclipped."""
    # L = ½ max((V − R)², (V_old + clip(V − V_old, −ε, ε) − R)²)
    unclipped = (value - returns).square()
    if clip_range == 0:
        return unclipped / 2
    clipped = (old_value + (value - old_value).clamp(-clip_range, clip_range) - returns).square()
    return torch.maximum(unclipped, clipped) / 2


@dataclass(eq=False)
class Ppo(OnPolicy):
    """Clipped policy updates on every token's advantage, with a value model as the baseline."""

    settings: PpoSettings

    def score_policy(
        self, policy: RoleModel, batch: Batch, *, is_rescored: bool
    ) -> dict[str, Tensor]:
        """Return `old_logprobs` and `values`, `[R]` each."""
        if self.roles.value is not None:
            values = predict_values(self.roles.value, batch)
            own = super().score_policy(policy, batch, is_rescored=is_rescored)
            return {**own, "values": values}
        with policy.active():  # the head is on the policy's own layers: one pass for both
            hidden = hidden_states(policy.model, batch)[batch.source]  # [R, D]
            logprobs = score_hidden_states(policy.model, hidden, batch.target).logprobs  # [R]
        return {"old_logprobs": logprobs, "values": self.roles.policy.predict(hidden)}

    def with_advantages(self, rollouts: RolloutBatch) -> RolloutBatch:
        """Return a round with each token's reward, advantage and return `[R]`."""
        settings, branch = self.settings, rollouts.batch.branch_index
        assert rollouts.values is not None, "PPO scores values"
        assert rollouts.normalized_rewards is not None, "a round is normalized first"
        rewards = place_at_segment_end(rollouts.normalized_rewards, branch)  # [R]
        if settings.kl_in == "reward":
            # R(x, y) = r(x, y) − β log(π(y|x) / π_SFT(y|x))    (Ouyang et al. 2022, equation 2)
            estimate = KL_ESTIMATORS[settings.kl_estimator]
            kl = estimate(rollouts.old_logprobs, rollouts.reference_logprobs)  # [R]
            rewards = rewards - self.beta * kl
        if settings.whiten_rewards:
            rewards = whiten(rewards, shift_mean=False)
        advantages = gae(
            rewards, rollouts.values, branch, gamma=settings.gamma, lam=settings.gae_lambda
        )  # [R]
        return replace(
            rollouts,
            token_rewards=rewards,
            returns=advantages + rollouts.values,
            advantages=whiten(advantages) if settings.whiten_advantages else advantages,
        )

    def loss_weights(self, rollouts: RolloutBatch) -> Mapping[str, Tensor]:
        """Return the weight of every token in the policy, value and KL terms."""
        names = ("policy", "value", *(("divergence",) if self._has_kl_loss else ()))
        return dict.fromkeys(names, rollouts.batch.weight)

    def losses(self, rollouts: RolloutBatch) -> Terms:
        """Return the losses of every token `[R]`, and metrics."""
        settings, batch = self.settings, rollouts.batch
        assert rollouts.advantages is not None, "a round has advantages"
        assert rollouts.values is not None, "PPO scores values"
        assert rollouts.returns is not None, "PPO computes returns"
        policy_scale = float(self.is_policy_trained)
        logprobs, values = self._logprobs_and_values(batch)
        ratio = torch.exp(logprobs - rollouts.old_logprobs)  # [R]
        policy_loss = clipped_policy_loss(ratio, rollouts.advantages, settings.clip_range)
        value_loss = clipped_value_loss(
            values, rollouts.values, rollouts.returns, settings.value_clip_range
        )
        terms = {
            "policy": Term(policy_loss * policy_scale, batch.weight),
            "value": Term(value_loss, batch.weight, settings.vf_coef),
        }
        if self._has_kl_loss:
            kl = KL_ESTIMATORS[settings.kl_estimator](logprobs, rollouts.reference_logprobs)  # [R]
            terms["divergence"] = Term(kl * policy_scale, batch.weight, self.beta)
        return {**terms, **self.metrics(rollouts, logprobs)}

    def _logprobs_and_values(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the current log-probabilities and values, `[R]` each."""
        policy = self.roles.policy
        with policy.active():
            hidden = hidden_states(policy.model, batch)[batch.source]  # [R, D]
            logprobs = score_hidden_states(policy.model, hidden, batch.target).logprobs  # [R]
        if self.roles.value is not None:
            return logprobs, predict_values(self.roles.value, batch)
        # during value warm-up the head's loss must not move the layers below it
        return logprobs, policy.predict(hidden if self.is_policy_trained else hidden.detach())

    @property
    def is_policy_trained(self) -> bool:
        """Whether the policy is updated: not during the value-only warm-up rounds."""
        return max(0, self.round_number) >= self.settings.value_warmup_rounds

    @property
    def _has_kl_loss(self) -> bool:
        return self.settings.kl_in == "loss" and self.settings.kl_coef > 0


def predict_values(value: RoleModel, batch: Batch) -> Tensor:
    """Return the expected return `[R]` before every weighted token."""
    with value.active():
        return value.predict(hidden_states(value.model, batch)[batch.source])
