"""Settings of judges, and of calls of servers."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import Settings, setting


class ServerSettings(Settings):
    """Calls of OpenAI-compatible servers."""

    panel: ClassVar[str] = "Server"

    concurrency: int = setting(8, ge=1, le=256, help="Calls of a server at the same time.")
    timeout: float = setting(120.0, gt=0, help="Seconds until a call that is not answered fails.")
    max_calls: int | None = setting(
        None, ge=0, help="Budget: calls of each server that may be paid for. Unset: no limit."
    )
    input_price: float | None = setting(
        None, ge=0, help="Price of a million tokens of input, to show the cost."
    )
    output_price: float | None = setting(
        None, ge=0, help="Price of a million tokens of output, to show the cost."
    )


class JudgeSettings(Settings):
    """The judge, and when its labels are used."""

    panel: ClassVar[str] = "Judge"

    judge: str | None = setting(
        None,
        help="Judge of the responses: a language model, a reward model, the URL of an endpoint, a "
        "rule or FILE.py:FUNCTION. Unset: the model itself. none: no judge.",
    )
    reasoning: bool = setting(
        default=False, help="Let the judge reason before it answers (chain of thought)."
    )
    judge_samples: int = setting(
        5, ge=1, help="Samples per question, if a server returns no log-probabilities."
    )
    on_flip: Literal["average", "drop"] = setting(
        "average",
        help="What happens to judgments that change with the order of the responses: their mean, "
        "which is near ½, or no label.",
    )
    gold: tuple[Path, ...] = setting(
        (),
        help="Comparisons by people on which the judge is measured first. Unset: the examples of "
        "the principles.",
    )
    min_agreement: float = setting(
        0.6, ge=0.5, le=1, help="A judge that agrees with fewer of the gold pairs is rejected."
    )
    allow_weak_judge: bool = setting(
        default=False, help="Use the labels of a judge that was rejected."
    )
