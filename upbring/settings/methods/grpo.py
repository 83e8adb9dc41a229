"""Group relative policy optimisation."""

from typing import ClassVar, Literal

from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.schema import setting


class GrpoSettings(OnPolicySettings):
    """Learn from how much better each response is than others to its prompt; no value."""

    panel: ClassVar[str] = "GRPO"

    batch_size: int = setting(4, ge=1, help="Prompts in a step.")
    num_generations: int = setting(8, ge=2, help="Responses drawn to each prompt.")
    kl_coef: float = setting(
        0.04, ge=0, help="β: weight of the divergence from the model that was begun with."
    )
    scale_rewards: bool = setting(
        default=True, help="Divide a group's advantages by the deviation of its rewards."
    )
    average: Literal["responses", "tokens"] = setting(
        "responses", help="Whether every response counts the same, or every token."
    )
