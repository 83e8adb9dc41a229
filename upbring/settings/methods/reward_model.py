"""The reward model."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.data import DataSettings
from upbring.settings.model import AdapterSettings, ModelSettings
from upbring.settings.schema import setting
from upbring.settings.training import TrainSettings


class RewardSettings(ModelSettings, AdapterSettings, DataSettings, TrainSettings):
    """Learn to score responses as people rank them: a head on the last token of each."""

    panel: ClassVar[str] = "Reward model"

    # A reward model says nothing, so that there are no prompts for it to answer.
    sample_prompts: ClassVar[tuple[str, ...]] = ()
    sample_tokens: ClassVar[int] = 0
    prompts: ClassVar[Path | None] = None

    loss: Literal["bradley-terry", "plackett-luce"] = setting(
        "bradley-terry",
        help="What is likely: each pair of a ranking by itself (Bradley and Terry), or the whole "
        "ranking (Plackett and Luce).",
    )
    margin: float = setting(
        0.0,
        ge=0,
        help="Scale of the margin by which the preferred response of a pair is to be scored "
        "higher: times the row's own margin, or 1 where it gives none.",
    )
    center_rewards_coef: float = setting(
        0.0, ge=0, help="Weight of (r_w + r_l)², which draws the scores' mean towards 0."
    )
    label_smoothing: float = setting(
        0.0, ge=0, lt=0.5, help="Share of the preferences that are taken to be wrong."
    )
    demonstrations: Path | None = setting(
        None,
        help="File of demonstrations, which are to score 0 on average. "
        "Unset: the best response of each held-out ranking.",
    )
    epochs: float = setting(1.0, gt=0, help="Passes over the data. Ignored when steps is set.")
    batch_size: int = setting(
        16, ge=1, help="Prompts in a step, each with all that was ranked of it."
    )
    learning_rate: float = setting(2e-4, gt=0, help="Peak learning rate.")
    final_weights: Literal["best", "last"] = setting(
        "best",
        help="Weights to keep at the end: the best on held-out data, or the last.",
    )
