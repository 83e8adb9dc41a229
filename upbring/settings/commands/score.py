"""Scoring responses, by one reward model or by several."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.model import ModelSettings
from upbring.settings.schema import Settings, setting


class EnsembleSettings(Settings):
    """How several reward models become one score."""

    panel: ClassVar[str] = "Ensemble"

    ensemble: tuple[str, ...] = setting(
        (),
        help="Further reward models whose scores are combined with the first one's. Adapters of "
        "one base share it in memory.",
    )
    combine: Literal["mean", "worst", "cautious"] = setting(
        "mean",
        help="How: their mean, the lowest, or the mean less `spread` standard deviations.",
    )
    spread: float = setting(1.0, ge=0, help="Standard deviations that cautious takes off.")


class ScoreSettings(ModelSettings, EnsembleSettings):
    """Score responses with a reward model."""

    panel: ClassVar[str] = "Scoring"

    data: tuple[Path, ...] = setting(
        min_length=1, help="Files of comparisons, demonstrations or labelled responses."
    )
    model: str = setting(help="Reward model: a run, a directory or a hub id.")
    to: Path | None = setting(None, help="File to write, a line for each response. Unset: stdout.")
    format: str = setting(
        "auto", help="Format of the rows. auto recognises it and says which; see `upbring check`."
    )
    skip_bad: Path | None = setting(
        None, help="Go on without malformed rows and write them to this file."
    )
