"""Whether a reward model judges prompts that it was trained on: then it repeats its training data.

A share of known prompts can move a win rate by as much as that share. So a judge that knows a few
is to be used with care, and one that knows many is no evidence.
"""

from collections.abc import Sequence
from dataclasses import replace

from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.preference import PreferenceJudge, Scorer
from upbring.plurals import format_count
from upbring.runs.results import JudgeQuality
from upbring.stages.contamination.remember_rows import find_trained_rows, hash_of_prompt

MAX_SHARE = 0.05  # of evaluated prompts that a judge may know and still be evidence


def doubt_judge(
    judge: PreferenceJudge | None, model: str | None, prompts: Sequence[Dialogue]
) -> PreferenceJudge | None:
    """Return a judge, its quality lowered if the reward model `model` knows the prompts."""
    if model is None or not isinstance(judge, Scorer) or judge.quality is None or not prompts:
        return judge
    trained = find_trained_rows(model)
    count = sum(hash_of_prompt(each) in trained for each in prompts) if trained else 0
    if not count:
        return judge
    return replace(judge, quality=_lower(judge.quality, count, len(prompts)))


def _lower(quality: JudgeQuality, count: int, total: int) -> JudgeQuality:
    is_evidence = quality.is_fit and count <= MAX_SHARE * total
    seen = format_count(count, "evaluated prompt", total=total, verb="was")
    details = [quality.detail, f"{seen} in its training data"]
    return replace(
        quality,
        verdict="use with care" if is_evidence else "not fit",
        detail="; ".join(filter(None, details)),
    )
