"""Settings of DPO, direct preference optimization."""

from typing import ClassVar, Literal

from upbring.settings.methods.preference import PreferenceSettings
from upbring.settings.schema import setting


class DpoSettings(PreferenceSettings):
    """DPO: trains on comparisons, with the implicit reward β log π/π_ref."""

    panel: ClassVar[str] = "Direct preference optimization"

    beta: float = setting(
        0.1,
        gt=0,
        help="β, strength of the KL constraint: higher keeps the policy closer to the reference. "
        "Usual: 0.01 to 0.5.",
    )
    label_smoothing: float = setting(
        0.0, ge=0, lt=0.5, help="Label smoothing ε: assumed share of wrong labels (cDPO)."
    )
    soft_labels: Literal["cross-entropy", "gdpo"] = setting(
        "cross-entropy",
        help="How a row's probability p is used: −p log σ(h) − (1−p) log σ(−h), or −log σ((2p−1)h) "
        "(gdpo).",
    )
    length_normalized: bool = setting(
        default=False, help="Use means over tokens instead of sums (Tulu 3); β is then about 5."
    )
    comparisons: Literal["all", "extremes", "list"] = setting(
        "all",
        help="How a ranking is used: all its pairs, the best against the worst (extremes), or as a "
        "list (Plackett-Luce).",
    )
    nll_weight: float = setting(
        0.0, ge=0, help="Weight of the next-token loss on the best response (Llama 3: 0.2)."
    )
    mask_shared_tokens: bool = setting(
        default=False,
        help="Exclude control tokens that all responses start or end with from the comparison.",
    )
