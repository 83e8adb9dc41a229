"""Measures the judge of an evaluation on gold pairs, before any of its choices is used.

Its judgments and its own responses to the gold prompts are stored like paid replies, so that a
second run asks nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from upbring import durable
from upbring.errors import InputError
from upbring.evaluate.human_votes import Votes
from upbring.evaluate.preference import Comparer, PreferenceJudge, Scorer
from upbring.judge.endpoint_judge import DecisionJudge
from upbring.judge.judgment import Judge
from upbring.judge.measure import GoldPair, measure_judge
from upbring.judge.reward_model import ResponseGroup
from upbring.judge.scoring_judges import RewardJudge
from upbring.remote.address import is_url
from upbring.runs.results import JUDGE, EvalResult
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.stages.evaluation.human_judge import is_human_judge
from upbring.stages.evaluation.judges import writes_text
from upbring.stages.feedback.judge_check import (
    MAX_OWN_RESPONSES,
    measurement_results,
    read_gold_pairs,
)
from upbring.stages.feedback.stored_judge import StoredJudge
from upbring.stages.feedback.writers import WriteRequest, make_writer
from upbring.stages.open_client import CALLS_FILE, call_limits, open_calls
from upbring.tracking import Track, no_tracking

OWN_TOKENS = 256  # of the judge's own responses to gold prompts


@dataclass(frozen=True)
class JudgeWork:
    """How the work of a judge is watched and stopped."""

    log: Callable[[str], None]
    poll: Callable[[], None] = lambda: None
    track: Track = no_tracking


def gold_of(settings: EvaluateSettings) -> list[GoldPair]:
    """Return the gold pairs; raise if there is no judge that they could measure."""
    if not settings.gold:
        return []
    if settings.judge is None or is_human_judge(settings.judge):
        who = (
            "people judge, and their agreement is known" if settings.judge else "no judge is named"
        )
        raise InputError(f"gold: {who}; leave it out, or name a model with --judge")
    return read_gold_pairs(settings.gold)


def measure_on_gold(
    settings: EvaluateSettings,
    judge: PreferenceJudge | None,
    gold: Sequence[GoldPair],
    work: JudgeWork,
) -> tuple[PreferenceJudge | None, list[EvalResult]]:
    """Return the judge with its quality, and its figures as results of the suite judge."""
    if not gold or judge is None or isinstance(judge, Votes):
        return judge, []
    rows = open_calls(settings.to / CALLS_FILE)
    asked = _as_judge(judge)
    if not is_url(judge.name):  # the replies of a server are stored by its client
        asked = StoredJudge(asked, rows, work.track)
    own: list[str] = []
    if isinstance(judge, Comparer):
        own = _own_responses(settings, judge.judge, gold, rows, work)
    found = measure_judge(asked, gold, own_responses=own)
    quality = found.quality(judge.name)
    work.log(f"{judge.name}: {quality.verdict}: {quality.detail}; {found.counts.text}")
    template = EvalResult(JUDGE, judge.name, "", None, judge=quality)
    results = [
        replace(each, name=each.name.removeprefix("judge/"))
        for each in measurement_results(found, template)
    ]
    return replace(judge, quality=quality), results


def _as_judge(judge: Scorer | Comparer) -> Judge:
    if isinstance(judge, Comparer):
        return judge.judge

    def score_groups(groups: Sequence[ResponseGroup]) -> list[list[float]]:
        pairs = [(group.prompt, text) for group in groups for text in group.responses]
        scores = iter(judge.scores(pairs))
        return [[next(scores) for _ in group.responses] for group in groups]

    return RewardJudge(judge.name, judge.identity, score_groups)


def _own_responses(
    settings: EvaluateSettings,
    judge: Judge,
    gold: Sequence[GoldPair],
    rows: durable.KeyedRows,
    work: JudgeWork,
) -> list[str]:
    """Return the judge's responses to the first gold prompts; none of a judge that writes none."""
    is_writer = settings.judge is not None and writes_text(settings.judge)
    if settings.judge is None or not is_writer or isinstance(judge, DecisionJudge):
        return []
    writer = make_writer(
        ModelSettings(
            model=settings.judge,
            dtype=settings.dtype,
            device=settings.device,
            threads=settings.threads,
        ),
        rows,
        max_tokens=OWN_TOKENS,
        limits=call_limits(settings),
        log=work.log,
        poll=work.poll,
        track=work.track,
    )
    prompts = [each.prompt for each in gold[:MAX_OWN_RESPONSES]]
    greedy = SampleSettings(temperature=0.0, max_tokens=OWN_TOKENS)
    request = WriteRequest(prompts, [0] * len(prompts), greedy, "own responses")
    return [each.text for each in writer.write(request)]
