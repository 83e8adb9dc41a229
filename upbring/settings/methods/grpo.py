"""Settings of GRPO, group relative policy optimization."""

from typing import ClassVar, Literal

from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.schema import setting


class GrpoSettings(OnPolicySettings):
    """GRPO: RL with advantages relative to the group of one prompt; no value model."""

    panel: ClassVar[str] = "GRPO"

    batch_size: int = setting(4, ge=1, help="Prompts per optimizer step.")
    num_generations: int = setting(8, ge=2, help="Responses sampled per prompt.")
    kl_coef: float = setting(
        0.04,
        ge=0,
        help="β: KL penalty coefficient; higher keeps the policy closer to the reference.",
    )
    scale_rewards: bool = setting(
        default=True,
        help="Divide the advantages of a group by the standard deviation of its rewards.",
    )
    average: Literal["responses", "tokens"] = setting(
        "responses", help="Average of the loss: every response has the same weight, or every token."
    )

    @property
    def needs_old_logprobs(self) -> bool:
        """Whether a round has a second step: before the first, the policy is the one that sampled.

        The ratio is then 1 by construction, and the KL of the round that `max_kl` and `kl_target`
        see is that of the sampler's log-probabilities.
        """
        return self.num_mini_batches * self.update_epochs > 1
