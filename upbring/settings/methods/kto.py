"""Kahneman–Tversky optimisation."""

from typing import ClassVar

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class KtoSettings(PreferenceSettings):
    """Learn from single responses that somebody called good or bad."""

    panel: ClassVar[str] = "Kahneman-Tversky optimisation"

    beta: float = setting(0.1, gt=0, help="β: how dear it is to leave the reference.")
    desirable_weight: float = setting(1.0, gt=0, help="λ_D: weight of good responses.")
    undesirable_weight: float = setting(
        1.0,
        gt=0,
        help="λ_U: weight of bad ones. Choose both so that desirable_weight × good responses is 1 to "
        "4/3 of undesirable_weight × bad ones.",
    )
