"""Odds ratio preference optimisation."""

from typing import ClassVar, Literal

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class OrpoSettings(PreferenceSettings):
    """Learn from comparisons while fine-tuning on what is preferred; there is no reference."""

    panel: ClassVar[str] = "Odds ratio preference optimisation"

    epochs: float = setting(3.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    learning_rate: float = setting(2e-4, gt=0, help="Peak learning rate.")
    beta: float = setting(0.1, ge=0, help="The paper's λ: weight of the odds-ratio loss.")
    comparisons: Literal["all", "extremes"] = setting(
        "all", help="What is made of a ranking: all its pairs, or best against worst."
    )
