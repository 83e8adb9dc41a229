"""Settings that the preference methods without a reward model share."""

from typing import ClassVar

from upbring.settings.schema import setting
from upbring.settings.stage import DialogueSettings


class PreferenceSettings(DialogueSettings):
    """Defaults of preference training, which starts from a fine-tuned model."""

    panel: ClassVar[str] = "Preference training"

    epochs: float = setting(1.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    batch_size: int = setting(
        16, ge=1, help="Prompts per optimizer step, each with all its responses."
    )
    learning_rate: float = setting(5e-5, gt=0, help="Peak learning rate.")
    warmup: float = setting(
        0.1, ge=0, help="Linear warm-up: a number of steps or, below 1, a share of all steps."
    )
    mix_weight: float = setting(
        1.0, ge=0, help="Weight of the next-token loss on the demonstrations of mix."
    )
