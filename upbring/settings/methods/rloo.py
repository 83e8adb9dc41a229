"""REINFORCE leave-one-out."""

from typing import ClassVar

from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.schema import setting


class RlooSettings(OnPolicySettings):
    """Learn from how much better each whole response is than the others to its prompt; no value."""

    panel: ClassVar[str] = "RLOO"

    batch_size: int = setting(8, ge=1, help="Prompts in a step.")
    num_generations: int = setting(4, ge=2, help="Responses drawn to each prompt.")
    whiten_advantages: bool = setting(
        default=False, help="Whiten the advantages of a round's responses."
    )
