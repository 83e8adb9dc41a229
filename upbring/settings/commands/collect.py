"""Settings of the recipe stage `collect`."""

from pathlib import Path
from typing import Literal

from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.settings.schema import setting


class CollectSettings(ModelSettings, SampleSettings):
    """Sample several responses per prompt and have them ranked."""

    prompts: tuple[Path, ...] = setting(min_length=1, help="Files of prompts, one per row.")
    by: Literal["people", "judge", "annotators"] = setting(
        "people",
        help="Who ranks the responses: people on the page of `upbring label`, a reward model "
        "(judge), or the simulated annotators of the toy dataset.",
    )
    judge: str | None = setting(None, help="Reward model that ranks the responses with by: judge.")
    overlap: int = setting(1, ge=1, help="Votes per prompt by different people.")
    num_responses: int = setting(4, ge=2, le=9, help="Responses sampled per prompt.")
    limit: int = setting(200, ge=1, help="Maximum number of prompts, evenly spread over the files.")
    temperature: float = setting(1.0, ge=0, help="Sampling temperature; 0 is greedy decoding.")
    max_tokens: int = setting(128, ge=1, help="Maximum length of a response in tokens.")
    seed: int = setting(0, ge=0, help="Random seed of sampling.")
    to: Path = setting(Path("collected"), help="Output folder.")
