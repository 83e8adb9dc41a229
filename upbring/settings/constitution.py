"""Settings of `upbring constitution`."""

from pathlib import Path
from typing import ClassVar

from upbring.settings.judge import JudgeSettings, ServerSettings
from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.settings.schema import setting


class ConstitutionSettings(ModelSettings, SampleSettings, JudgeSettings, ServerSettings):
    """Make preferences and demonstrations from written principles."""

    panel: ClassVar[str] = "Constitution"

    prompts: tuple[Path, ...] = setting(min_length=1, help="Files of prompts, one per row.")
    principles: Path | None = setting(
        None, help="YAML file of principles. Unset: about 30 that come with upbring."
    )
    rounds: int = setting(
        1, ge=0, le=9, help="Rounds of critique and revision of the first response; 0: none."
    )
    num_responses: int = setting(2, ge=1, le=9, help="Responses sampled per prompt.")
    pairs_per_prompt: int = setting(
        3, ge=1, le=36, help="Pairs of responses, or of a response and its revision, to judge."
    )
    principles_per_pair: int = setting(
        1, ge=0, help="Principles drawn for each pair by their weights; 0: all that apply."
    )
    clamp: float = setting(
        0.6,
        gt=0.5,
        le=1,
        help="Highest probability of a label of a judge that reasons: 0.6 clamps to 40–60 %. "
        "Labels of other judges are never clamped.",
    )
    max_length_ratio: float | None = setting(
        None,
        gt=0,
        help="Drop pairs whose chosen response has more than this many times the words of the "
        "rejected one.",
    )
    human: tuple[Path, ...] = setting(
        (), help="Comparisons by people, mixed into the result, to keep the model helpful."
    )
    human_share: float = setting(
        0.43, gt=0, lt=1, help="Share of the comparisons by people in the result."
    )
    limit: int = setting(200, ge=1, help="Maximum number of prompts, evenly spread over the files.")
    temperature: float = setting(1.0, ge=0, help="Sampling temperature; 0 is greedy decoding.")
    max_tokens: int = setting(128, ge=1, help="Maximum length of a response in tokens.")
    seed: int = setting(0, ge=0, help="Random seed of sampling and of the principles.")
    to: Path = setting(Path("constitution"), help="Output folder.")
