"""Direct preference optimisation."""

from typing import ClassVar, Literal

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class DpoSettings(PreferenceSettings):
    """Learn from comparisons: a reward model's loss on the policy's own reward, β log π/π_ref."""

    panel: ClassVar[str] = "Direct preference optimisation"

    beta: float = setting(
        0.1, gt=0, help="β: how dear it is to leave the reference; 0.01 to 0.5 are usual."
    )
    label_smoothing: float = setting(
        0.0, ge=0, lt=0.5, help="ε: share of the labels that is taken to be wrong (cDPO)."
    )
    length_normalized: bool = setting(
        default=False, help="Means over tokens instead of sums (Tulu 3); then β is about 5."
    )
    comparisons: Literal["all", "extremes", "list"] = setting(
        "all",
        help="What is made of a ranking: all its pairs, best against worst, or a list "
        "(Plackett-Luce).",
    )
    nll_weight: float = setting(
        0.0, ge=0, help="Weight of the next-token loss on the best response (Llama 3: 0.2)."
    )
    mask_shared_tokens: bool = setting(
        default=False,
        help="Leave control tokens that all responses begin or end with out of the comparison.",
    )
