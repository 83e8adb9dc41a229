"""Settings of RLOO, REINFORCE leave-one-out."""

from typing import ClassVar

from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.schema import setting


class RlooSettings(OnPolicySettings):
    """RLOO: RL with the other responses to a prompt as the baseline; no value model."""

    panel: ClassVar[str] = "RLOO"

    batch_size: int = setting(8, ge=1, help="Prompts per optimizer step.")
    num_generations: int = setting(4, ge=2, help="Responses sampled per prompt.")
    whiten_advantages: bool = setting(
        default=False, help="Whiten the response advantages of a round: mean 0, variance 1."
    )
