"""What every stage that trains has in common."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.data import DataSettings
from upbring.settings.model import AdapterSettings, ModelSettings
from upbring.settings.schema import setting
from upbring.settings.training import TrainSettings


class StageSettings(ModelSettings, AdapterSettings, DataSettings, TrainSettings):
    """A model, what of it learns, from what and how, and what is looked at on the way."""

    panel: ClassVar[str] = "Evidence"

    final_weights: Literal["best", "last"] = setting(
        "best",
        help="Weights to keep at the end: the best on held-out data, or the last.",
    )
    sample_prompts: tuple[str, ...] = setting(
        (),
        help="Prompts answered at each evaluation. Unset: the first three held-out prompts.",
    )
    sample_tokens: int = setting(64, ge=1, help="Longest of those answers in tokens.")


class DialogueSettings(StageSettings):
    """A stage whose model speaks in turns."""

    panel: ClassVar[str] = "Evidence"

    prompts: Path | None = setting(
        None, help="File of prompts to answer at each evaluation, one row each."
    )
