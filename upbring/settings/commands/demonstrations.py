"""Settings of `upbring best-of-n` and `upbring teacher`, which make demonstrations."""

from pathlib import Path
from typing import ClassVar

from upbring.settings.judge import JudgeSettings, ServerSettings
from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.settings.schema import setting


class TeacherSettings(ModelSettings, SampleSettings, ServerSettings):
    """Let a teacher, a larger model or an endpoint, write demonstrations."""

    panel: ClassVar[str] = "Demonstrations"

    model: str = setting(
        help="The teacher: the URL of an OpenAI-compatible endpoint, or a model as in `sft`."
    )
    prompts: tuple[Path, ...] = setting(min_length=1, help="Files of prompts, one per row.")
    num_responses: int = setting(
        1, ge=1, le=64, help="Responses per prompt; each distinct one is a demonstration."
    )
    limit: int = setting(
        1000, ge=1, help="Maximum number of prompts, evenly spread over the files."
    )
    max_tokens: int = setting(512, ge=1, help="Maximum length of a response in tokens.")
    keep_cut_off: bool = setting(
        default=False, help="Keep responses that reached max_tokens before their end."
    )
    seed: int = setting(0, ge=0, help="Random seed of sampling.")
    to: Path = setting(Path("teacher"), help="Output folder.")


class BestOfNSettings(ModelSettings, SampleSettings, JudgeSettings, ServerSettings):
    """Sample n responses per prompt and keep the one that a judge finds best."""

    panel: ClassVar[str] = "Demonstrations"

    judge: str | None = setting(
        None,
        help="Judge of the responses: a reward model, a language model, the URL of an endpoint, a "
        "rule or FILE.py:FUNCTION. Unset: the model itself.",
    )
    gold: tuple[Path, ...] = setting(
        (),
        help="Comparisons by people on which the judge is measured first. Unset: a language model "
        "is measured on the examples of upbring's principles, a reward model was by its training.",
    )
    criterion: str | None = setting(
        None,
        help="What makes a response better, as a question to a language model. Unset: more "
        "correct, more helpful, politer, and not longer than it needs to be.",
    )
    prompts: tuple[Path, ...] = setting(min_length=1, help="Files of prompts, one per row.")
    num_responses: int = setting(4, ge=2, le=9, help="Responses per prompt: the n of best-of-n.")
    limit: int = setting(
        1000, ge=1, help="Maximum number of prompts, evenly spread over the files."
    )
    temperature: float = setting(1.0, ge=0, help="Sampling temperature; 0 is greedy decoding.")
    max_tokens: int = setting(256, ge=1, help="Maximum length of a response in tokens.")
    keep_cut_off: bool = setting(
        default=False, help="Keep responses that reached max_tokens before their end."
    )
    seed: int = setting(0, ge=0, help="Random seed of sampling.")
    to: Path = setting(Path("best-of-n"), help="Output folder.")
