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
from upbring.maths.advantages import relative
from upbring.maths.kl import k3
from upbring.maths.segments import at_last, sums
from upbring.model.score import score
from upbring.settings.methods.grpo import GrpoSettings
from upbring.train.algorithm import Term, Terms


@dataclass(eq=False)
class Grpo(OnPolicy):
    """Clipped steps on the advantage of each response within its group."""

    settings: GrpoSettings

    def credit(self, batch: Batch) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return each token's advantage: its response's."""
        gain, groups = batch.facts["gain"], len(batch.spans)
        scales = self.settings.scales_groups
        advantage = relative(gain, batch.tree, groups, is_scaled=scales)  # [N]
        return {
            "reward": at_last(gain, batch.branch),
            "advantage": advantage[batch.branch],
        }, {}

    def announce(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what every token weighs, for the policy and the divergence."""
        names = ("policy", *(("divergence",) if self.settings.kl_weight > 0 else ()))
        return dict.fromkeys(names, self._weight(batch))

    def learn(self, batch: Batch) -> Terms:
        """Return the losses of every token `[R]`, and metrics."""
        settings, notes, weight = self.settings, batch.notes, self._weight(batch)
        with self.players.policy.speaking():
            logprobs = score(self.players.policy.model, batch).logprobs  # [R]
        ratio = torch.exp(logprobs - notes["old"])  # [R]
        # 1/G Σ_i 1/|o_i| Σ_t {min(r Â, clip(r, 1 − ε, 1 + ε) Â) − β D_KL(π‖π_ref)}  (equation 3)
        loss = clipped_policy_loss(ratio, notes["advantage"], settings.ratio_clip)
        terms = {"policy": Term(loss, weight)}
        if settings.kl_weight > 0:
            terms["divergence"] = Term(k3(logprobs, notes["reference"]), weight, self.beta)
        return {**terms, **self.seen(batch, logprobs)}

    def _weight(self, batch: Batch) -> Tensor:
        """Return `[R]`: 1 for every token, or 1/|o_i|, so that every response counts the same."""
        if self.settings.average == "tokens":
            return batch.weight
        lengths = sums(batch.weight, batch.branch, len(batch.last))  # [N]
        return batch.weight / lengths[batch.branch]
