"""Proximal policy optimisation (Schulman et al. 2017) as InstructGPT did it (Ouyang et al. 2022).

What is maximised is E[r(x, y) − β KL(π‖π_SFT)] + γ E_replay[log π]; each token has an advantage,
from a value that learns beside the policy. Details are those of Huang et al. 2024.

Left out: dropout, with which the first ratio would not be 1; temperatures other than 1.
Added: value and policy on one resident base; the divergence in the loss, if asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.algorithms.rl import OnPolicy
from upbring.algorithms.rollout_batch import RoleModel
from upbring.data.trees.batch import Batch
from upbring.maths.advantages import gae
from upbring.maths.kl import KL_ESTIMATORS
from upbring.maths.segments import place_at_segment_end, whiten
from upbring.model.network import hidden_states
from upbring.model.score import score_hidden_states
from upbring.settings.methods.ppo import PpoSettings
from upbring.train.algorithm import Term, Terms


def clipped_policy_loss(ratio: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """Return the loss `[R]` of each token whose probability has moved by `ratio`."""
    # L = −min(r_t Â_t, clip(r_t, 1 − ε, 1 + ε) Â_t)         (Schulman et al. 2017, equation 7)
    return -torch.minimum(
        ratio * advantage, ratio.clamp(1 - clip_range, 1 + clip_range) * advantage
    )


def clipped_value_loss(
    value: Tensor, old_value: Tensor, returns: Tensor, clip_range: float
) -> Tensor:
    """Return the loss `[R]` of each value, which moves by `clip_range` from the old one; 0: freely."""
    # L = ½ max((V − R)², (V_old + clip(V − V_old, −ε, ε) − R)²)
    unclipped = (value - returns).square()
    if clip_range == 0:
        return unclipped / 2
    clipped = (old_value + (value - old_value).clamp(-clip_range, clip_range) - returns).square()
    return torch.maximum(unclipped, clipped) / 2


@dataclass(eq=False)
class Ppo(OnPolicy):
    """Clipped steps on every token's advantage, and a value that learns what to expect."""

    settings: PpoSettings
    value_model: RoleModel | None = None  # none: the head lies on the policy's trunk

    def score_old_logprobs(self, role_model: RoleModel, batch: Batch) -> dict[str, Tensor]:
        """Return what `voice` thinks of the tokens of a batch, and what the value expects `[R]`."""
        if self.value_model is None:
            with role_model.active():
                hidden = hidden_states(role_model.model, batch)[batch.source]  # [R, D]
                old_logprobs = score_hidden_states(
                    role_model.model, hidden, batch.target
                ).logprobs  # [R]
            return {"old": old_logprobs, "value": self.roles.policy.predict(hidden)}
        notes = super().score_old_logprobs(role_model, batch)
        return {**notes, "value": _predict_values(self.value_model, batch)}

    def rewards_and_advantages(
        self, batch: Batch
    ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return each token's reward, advantage and return; a response is rewarded at its end."""
        settings = self.settings
        rewards = place_at_segment_end(batch.per_branch["gain"], batch.branch_index)  # [R]
        if settings.kl_in == "reward":
            # R(x, y) = r(x, y) − β log(π(y|x) / π_SFT(y|x))    (Ouyang et al. 2022, equation 2)
            estimate = KL_ESTIMATORS[settings.kl_estimator]
            kl = estimate(batch.per_token["old"], batch.per_token["reference"])  # [R]
            rewards = rewards - self.beta * kl
        if settings.whiten_rewards:
            rewards = whiten(rewards, shift_mean=False)
        value = batch.per_token["value"]
        advantage = gae(
            rewards, value, batch.branch_index, gamma=settings.gamma, lam=settings.gae_lambda
        )  # [R]
        returns = advantage + value
        advantage = whiten(advantage) if settings.whiten_advantages else advantage
        return {"reward": rewards, "advantage": advantage, "return": returns}, {}

    def loss_weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what every token weighs, for the policy, the value and the divergence."""
        names = ("policy", "value", *(("divergence",) if self._has_kl_loss else ()))
        return dict.fromkeys(names, batch.weight)

    def losses(self, batch: Batch) -> Terms:
        """Return the losses of every token `[R]`, and metrics."""
        settings, notes = self.settings, batch.per_token
        policy_scale = float(self.moves)
        with self.roles.policy.active():
            hidden = hidden_states(self.roles.policy.model, batch)[batch.source]  # [R, D]
            logprobs = score_hidden_states(
                self.roles.policy.model, hidden, batch.target
            ).logprobs  # [R]
        if self.value_model is not None:
            value = _predict_values(self.value_model, batch)  # [R]
        else:  # what it says of the trunk does not move that while it warms up
            value = self.roles.policy.predict(hidden if policy_scale else hidden.detach())  # [R]
        ratio = torch.exp(logprobs - notes["old"])  # [R]
        policy_loss = clipped_policy_loss(ratio, notes["advantage"], settings.clip_range)
        value_loss = clipped_value_loss(
            value, notes["value"], notes["return"], settings.value_clip_range
        )
        terms = {
            "policy": Term(policy_loss * policy_scale, batch.weight),
            "value": Term(value_loss, batch.weight, settings.vf_coef),
        }
        if self._has_kl_loss:
            kl = KL_ESTIMATORS[settings.kl_estimator](logprobs, notes["reference"])  # [R]
            terms["divergence"] = Term(kl * policy_scale, batch.weight, self.beta)
        return {**terms, **self.seen(batch, logprobs)}

    @property
    def moves(self) -> bool:
        """Whether the policy learns, and not the value alone, which warms up."""
        return max(0, self.number) >= self.settings.value_warmup_rounds

    @property
    def _has_kl_loss(self) -> bool:
        return self.settings.kl_in == "loss" and self.settings.kl_coef > 0


def _predict_values(value_model: RoleModel, batch: Batch) -> Tensor:
    """Return the value `[R]` of the state before every weighted token."""
    with value_model.active():
        return value_model.predict(hidden_states(value_model.model, batch)[batch.source])
