"""Settings of KTO, Kahneman–Tversky optimization."""

from typing import ClassVar

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class KtoSettings(PreferenceSettings):
    """KTO: trains on single responses labeled good or bad."""

    panel: ClassVar[str] = "Kahneman-Tversky optimization"

    beta: float = setting(
        0.1,
        gt=0,
        help="β, strength of the KL constraint: higher keeps the policy closer to the reference.",
    )
    desirable_weight: float = setting(1.0, gt=0, help="λ_D: weight of the loss of good responses.")
    undesirable_weight: float = setting(
        1.0,
        gt=0,
        help="λ_U: weight of the loss of bad responses. Choose both so that desirable_weight × "
        "number of good responses is 1 to 4/3 times undesirable_weight × number of bad ones.",
    )
