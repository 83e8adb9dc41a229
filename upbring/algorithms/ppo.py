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
from upbring.algorithms.rollout_batch import Voice
from upbring.data.trees.batch import Batch
from upbring.maths.advantages import gae
from upbring.maths.kl import ESTIMATORS
from upbring.maths.segments import at_last, whitened
from upbring.model.network import hidden_states
from upbring.model.score import read_out
from upbring.settings.methods.ppo import PpoSettings
from upbring.train.algorithm import Term, Terms


def clipped_policy_loss(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Return the loss `[R]` of each token whose probability has moved by `ratio`."""
    # L = −min(r_t Â_t, clip(r_t, 1 − ε, 1 + ε) Â_t)         (Schulman et al. 2017, equation 7)
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def clipped_value_loss(value: Tensor, old: Tensor, returned: Tensor, clip: float) -> Tensor:
    """Return the loss `[R]` of each value, which moves by `clip` from the old one; 0: freely."""
    # L = ½ max((V − R)², (V_old + clip(V − V_old, −ε, ε) − R)²)
    free = (value - returned).square()
    if clip == 0:
        return free / 2
    near = (old + (value - old).clamp(-clip, clip) - returned).square()
    return torch.maximum(free, near) / 2


@dataclass(eq=False)
class Ppo(OnPolicy):
    """Clipped steps on every token's advantage, and a value that learns what to expect."""

    settings: PpoSettings
    value: Voice | None = None  # none: the head lies on the policy's trunk

    def hear(self, voice: Voice, batch: Batch) -> dict[str, Tensor]:
        """Return what `voice` thinks of the tokens of a batch, and what the value expects `[R]`."""
        if self.value is None:
            with voice.speaking():
                hidden = hidden_states(voice.model, batch)[batch.source]  # [R, D]
                old = read_out(voice.model, hidden, batch.target).logprobs  # [R]
            return {"old": old, "value": self.players.policy.read(hidden)}
        notes = super().hear(voice, batch)
        return {**notes, "value": _expected(self.value, batch)}

    def credit(self, batch: Batch) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return each token's reward, advantage and return; a response is rewarded at its end."""
        settings = self.settings
        rewards = at_last(batch.facts["gain"], batch.branch)  # [R]
        if settings.kl_in == "reward":
            # R(x, y) = r(x, y) − β log(π(y|x) / π_SFT(y|x))    (Ouyang et al. 2022, equation 2)
            estimate = ESTIMATORS[settings.kl_estimator]
            gap = estimate(batch.notes["old"], batch.notes["reference"])  # [R]
            rewards = rewards - self.beta * gap
        if settings.whiten_rewards:
            rewards = whitened(rewards, shifts_mean=False)
        value = batch.notes["value"]
        advantage = gae(
            rewards, value, batch.branch, discount=settings.discount, decay=settings.decay
        )  # [R]
        returned = advantage + value
        advantage = whitened(advantage) if settings.whiten else advantage
        return {"reward": rewards, "advantage": advantage, "return": returned}, {}

    def announce(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what every token weighs, for the policy, the value and the divergence."""
        names = ("policy", "value", *(("divergence",) if self._has_divergence else ()))
        return dict.fromkeys(names, batch.weight)

    def learn(self, batch: Batch) -> Terms:
        """Return the losses of every token `[R]`, and metrics."""
        settings, notes = self.settings, batch.notes
        learns = float(self.moves)
        with self.players.policy.speaking():
            hidden = hidden_states(self.players.policy.model, batch)[batch.source]  # [R, D]
            logprobs = read_out(self.players.policy.model, hidden, batch.target).logprobs  # [R]
        if self.value is not None:
            value = _expected(self.value, batch)  # [R]
        else:  # what it says of the trunk does not move that while it warms up
            value = self.players.policy.read(hidden if learns else hidden.detach())  # [R]
        ratio = torch.exp(logprobs - notes["old"])  # [R]
        policy_loss = clipped_policy_loss(ratio, notes["advantage"], settings.ratio_clip)
        value_loss = clipped_value_loss(value, notes["value"], notes["return"], settings.value_clip)
        terms = {
            "policy": Term(policy_loss * learns, batch.weight),
            "value": Term(value_loss, batch.weight, settings.value_weight),
        }
        if self._has_divergence:
            gap = ESTIMATORS[settings.kl_estimator](logprobs, notes["reference"])  # [R]
            terms["divergence"] = Term(gap * learns, batch.weight, self.beta)
        return {**terms, **self.seen(batch, logprobs)}

    @property
    def moves(self) -> bool:
        """Whether the policy learns, and not the value alone, which warms up."""
        return max(0, self.number) >= self.settings.critic_warm_up

    @property
    def _has_divergence(self) -> bool:
        return self.settings.kl_in == "loss" and self.settings.kl_weight > 0


def _expected(voice: Voice, batch: Batch) -> Tensor:
    """Return the value `[R]` of the state before every weighted token."""
    with voice.speaking():
        return voice.read(hidden_states(voice.model, batch)[batch.source])
