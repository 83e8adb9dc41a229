"""Simple preference optimisation."""

from typing import ClassVar, Literal

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class SimpoSettings(PreferenceSettings):
    """Learn from comparisons by mean log-probabilities and a margin; there is no reference."""

    panel: ClassVar[str] = "Simple preference optimisation"

    beta: float = setting(2.0, gt=0, help="β: scale of the mean log-probability; 2 to 10.")
    gamma: float = setting(1.0, ge=0, help="γ: margin of the rewards that is wanted.")
    label_smoothing: float = setting(
        0.0, ge=0, lt=0.5, help="Share of the labels that is taken to be wrong."
    )
    comparisons: Literal["all", "extremes"] = setting(
        "all", help="What is made of a ranking: all its pairs, or best against worst."
    )
    nll_weight: float = setting(
        0.0, ge=0, help="Weight of the next-token loss on the best response."
    )
