"""Settings of `upbring hinge-dpo`."""

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class HingeDpoSettings(PreferenceSettings):
    """Hinge loss on DPO's rewards."""

    beta: float = setting(0.1, gt=0, help="Strength of the KL constraint.")
