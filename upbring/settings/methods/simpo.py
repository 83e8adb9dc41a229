"""Settings of SimPO, simple preference optimization."""

from typing import ClassVar, Literal

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class SimpoSettings(PreferenceSettings):
    """SimPO: trains on comparisons of mean log-probabilities with a margin; no reference."""

    panel: ClassVar[str] = "Simple preference optimization"

    beta: float = setting(2.0, gt=0, help="β: scale of the mean log-probability. Usual: 2 to 10.")
    gamma: float = setting(1.0, ge=0, help="γ: target margin between the rewards.")
    label_smoothing: float = setting(
        0.0, ge=0, lt=0.5, help="Label smoothing ε: assumed share of wrong labels."
    )
    comparisons: Literal["all", "extremes"] = setting(
        "all", help="Pairs of a ranking: all pairs, or the best against the worst (extremes)."
    )
    nll_weight: float = setting(
        0.0, ge=0, help="Weight of the next-token loss on the best response."
    )
