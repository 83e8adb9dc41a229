"""Identity preference optimisation."""

from typing import ClassVar, Literal

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class IpoSettings(PreferenceSettings):
    """Learn from comparisons: log-ratios are driven apart up to a goal, and no further."""

    panel: ClassVar[str] = "Identity preference optimisation"

    beta: float = setting(0.1, gt=0, help="The paper's τ: the goal is a margin of 1/(2β).")
    length_normalized: bool = setting(
        default=False, help="Means over tokens instead of sums, as TRL; then β is about 1."
    )
    comparisons: Literal["all", "extremes"] = setting(
        "all", help="What is made of a ranking: all its pairs, or best against worst."
    )
    nll_weight: float = setting(
        0.0, ge=0, help="Weight of the next-token loss on the best response."
    )
    mask_shared_tokens: bool = setting(
        default=False,
        help="Leave control tokens that all responses begin or end with out of the comparison.",
    )
