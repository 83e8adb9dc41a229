"""Settings of reward model training."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.data import DataSettings
from upbring.settings.model import AdapterSettings, ModelSettings
from upbring.settings.schema import setting
from upbring.settings.training import TrainSettings


class RewardSettings(ModelSettings, AdapterSettings, DataSettings, TrainSettings):
    """Reward model: trains a scalar head on the last token of each response, from rankings."""

    panel: ClassVar[str] = "Reward model"

    # A reward model does not generate, so there are no responses to sample.
    sample_prompts: ClassVar[tuple[str, ...]] = ()
    sample_tokens: ClassVar[int] = 0
    prompts: ClassVar[Path | None] = None

    loss: Literal["bradley-terry", "plackett-luce"] = setting(
        "bradley-terry",
        help="Loss of a ranking: of each of its pairs (Bradley-Terry), or of the whole ranking "
        "(Plackett-Luce).",
    )
    margin: float = setting(
        0.0,
        ge=0,
        help="Scale of the target margin between the scores of a pair; it is multiplied by the "
        "row's own margin, or by 1 where a row has none.",
    )
    center_rewards_coef: float = setting(
        0.0, ge=0, help="Weight of the auxiliary loss (r_w + r_l)², which centers the scores at 0."
    )
    label_smoothing: float = setting(
        0.0, ge=0, lt=0.5, help="Label smoothing ε: assumed share of wrong labels."
    )
    demonstrations: Path | None = setting(
        None,
        help="File of demonstrations. Scores are shifted so that their mean is 0. "
        "Unset: the best response of each held-out ranking is used.",
    )
    epochs: float = setting(1.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    batch_size: int = setting(
        16, ge=1, help="Prompts per optimizer step, each with all its ranked responses."
    )
    learning_rate: float = setting(2e-4, gt=0, help="Peak learning rate.")
    final_weights: Literal["best", "last"] = setting(
        "best",
        help="Weights to keep at the end: the best on held-out data, or those of the last step.",
    )
