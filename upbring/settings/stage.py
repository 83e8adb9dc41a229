"""Settings that all training stages share."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.data import DataSettings
from upbring.settings.model import AdapterSettings, ModelSettings
from upbring.settings.schema import setting
from upbring.settings.training import TrainSettings


class StageSettings(ModelSettings, AdapterSettings, DataSettings, TrainSettings):
    """Settings of a training stage: model, adapter, data, training, evaluation samples."""

    panel: ClassVar[str] = "Evaluation"

    final_weights: Literal["best", "last"] = setting(
        "best",
        help="Weights to keep at the end: the best on held-out data, or those of the last step, "
        "as also with fewer than five held-out examples.",
    )
    sample_prompts: tuple[str, ...] = setting(
        (),
        help="Prompts to respond to at each evaluation. Unset: the first three held-out prompts.",
    )
    sample_tokens: int = setting(64, ge=1, help="Maximum length of these responses in tokens.")


class DialogueSettings(StageSettings):
    """Settings of a training stage of a chat model."""

    panel: ClassVar[str] = "Evaluation"

    prompts: Path | None = setting(
        None, help="File of prompts to respond to at each evaluation, one per row."
    )
