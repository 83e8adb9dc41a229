"""Supervised fine-tuning."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.data import DataSettings
from upbring.settings.model import AdapterSettings, ModelSettings
from upbring.settings.schema import setting
from upbring.settings.train import TrainSettings


class SftSettings(ModelSettings, AdapterSettings, DataSettings, TrainSettings):
    """Learn from demonstrations: next-token loss on what the assistant says."""

    panel: ClassVar[str] = "Supervised fine-tuning"

    turns: Literal["all", "last"] = setting(
        "all", help="Which of the assistant's turns are learned from."
    )
    choose: Literal["best", "last"] = setting(
        "best", help="Weights to keep at the end: lowest held-out loss, or the last."
    )
    sample_prompts: tuple[str, ...] = setting(
        (),
        help="Prompts answered at each evaluation. Unset: the first three held-out prompts.",
    )
    sample_tokens: int = setting(64, ge=1, help="Longest of those answers in tokens.")
    prompts: Path | None = setting(
        None, help="File of prompts to answer at each evaluation, one row each."
    )
