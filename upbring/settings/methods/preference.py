"""What all methods share that learn from preferences without a reward model."""

from typing import ClassVar

from upbring.settings.schema import setting
from upbring.settings.stage import DialogueSettings


class PreferenceSettings(DialogueSettings):
    """Defaults of learning from preferences, which moves a model that can answer already."""

    panel: ClassVar[str] = "Preferences"

    epochs: float = setting(1.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    batch_size: int = setting(16, ge=1, help="Examples in a step: prompts, whatever their K.")
    learning_rate: float = setting(5e-5, gt=0, help="Peak learning rate.")
    warmup: float = setting(
        0.1, ge=0, help="Steps of linear warm-up; below 1 it is a share of all steps."
    )
    mix_weight: float = setting(
        1.0, ge=0, help="Weight of the next-token loss of demonstrations that mix brings in."
    )
