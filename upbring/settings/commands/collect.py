"""Settings of `upbring collect`."""

from pathlib import Path
from typing import Literal

from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.settings.schema import setting


class CollectSettings(ModelSettings, SampleSettings):
    """Let a model answer prompts several times, and have the answers ranked."""

    prompts: tuple[Path, ...] = setting(min_length=1, help="Files of prompts, one row each.")
    by: Literal["people", "judge", "annotators"] = setting(
        "people",
        help="Who ranks: people in a page that you open, a reward model, or the embedded world's "
        "simulated annotators.",
    )
    judge: str | None = setting(None, help="Reward model that ranks, where a judge does.")
    num_responses: int = setting(4, ge=2, le=9, help="Answers to each prompt.")
    limit: int = setting(200, ge=1, help="Prompts that are taken, spread over the files.")
    temperature: float = setting(1.0, ge=0, help="0 always takes the likeliest token.")
    max_tokens: int = setting(128, ge=1, help="Longest response in tokens.")
    seed: int = setting(0, ge=0, help="Seed of the draws.")
    to: Path = setting(Path("collected"), help="Folder to write to.")
