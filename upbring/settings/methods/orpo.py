"""Settings of ORPO, odds ratio preference optimization."""

from typing import ClassVar, Literal

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class OrpoSettings(PreferenceSettings):
    """ORPO: SFT on preferred responses plus an odds-ratio loss, without a reference."""

    panel: ClassVar[str] = "Odds ratio preference optimization"

    epochs: float = setting(3.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    learning_rate: float = setting(2e-4, gt=0, help="Peak learning rate.")
    beta: float = setting(0.1, ge=0, help="β, the paper's λ: weight of the odds-ratio loss.")
    comparisons: Literal["all", "extremes"] = setting(
        "all", help="Pairs of a ranking: all pairs, or the best against the worst (extremes)."
    )
