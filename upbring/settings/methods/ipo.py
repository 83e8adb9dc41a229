"""Settings of IPO, identity preference optimization."""

from typing import ClassVar, Literal

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class IpoSettings(PreferenceSettings):
    """IPO: trains on comparisons, with a squared loss towards a target margin."""

    panel: ClassVar[str] = "Identity preference optimization"

    beta: float = setting(
        0.1, gt=0, help="β, the paper's τ: the target margin of the log-ratios is 1/(2β)."
    )
    length_normalized: bool = setting(
        default=False, help="Use means over tokens instead of sums, as TRL does; β is then about 1."
    )
    comparisons: Literal["all", "extremes"] = setting(
        "all", help="Pairs of a ranking: all pairs, or the best against the worst (extremes)."
    )
    nll_weight: float = setting(
        0.0, ge=0, help="Weight of the next-token loss on the best response."
    )
    mask_shared_tokens: bool = setting(
        default=False,
        help="Exclude control tokens that all responses start or end with from the comparison.",
    )
