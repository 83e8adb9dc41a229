"""Settings of `upbring score`: a reward model, or an ensemble of several."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.model import ModelSettings
from upbring.settings.schema import Settings, setting


class EnsembleSettings(Settings):
    """An ensemble of reward models and how their scores are combined."""

    panel: ClassVar[str] = "Ensemble"

    ensemble: tuple[str, ...] = setting(
        (),
        help="More reward models, whose scores are combined with those of model. Adapters of the "
        "same base model share it in memory.",
    )
    combine: Literal["mean", "worst", "cautious"] = setting(
        "mean",
        help="How the scores are combined: their mean, their minimum (worst), or the mean minus "
        "`spread` standard deviations (cautious).",
    )
    spread: float = setting(
        1.0, ge=0, help="Number of standard deviations that combine=cautious subtracts."
    )


class ScoreSettings(ModelSettings, EnsembleSettings):
    """Score responses with a reward model."""

    panel: ClassVar[str] = "Scoring"

    data: tuple[Path, ...] = setting(
        min_length=1, help="Files of comparisons, demonstrations or labeled responses."
    )
    model: str = setting(help="Reward model: a run, a directory or a hub id.")
    to: Path | None = setting(
        None, help="Output file, one line of JSON per response. Unset: stdout."
    )
    format: str = setting(
        "auto", help="Format of the rows. auto detects and reports it; see `upbring check`."
    )
    skip_bad: Path | None = setting(
        None,
        help="Skip malformed rows and write them to this file. Unset: a malformed row is an error.",
    )
