"""Responses of the models: scores per model, and the largest improvements and regressions.

A judge writes its scores as rows under its own name; they are joined to the responses by suite,
prompt and response. The score of a response is the judge's score or, without a judge, the mean of
the graders' verdicts, with the sign chosen so that higher is better.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from upbring.report.run_data import Answer, Evidence, ReportedStage
from upbring.runs.results import EvalResult

JUDGE_METRICS = ("gold", "reward", "score")  # names under which judges write scores
LOWER_IS_BETTER = ("nll", "perplexity")  # excluded from the mean of the verdicts
NUM_COMPARISONS = 20

AnswerKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """A response with its score."""

    model: str
    response: str
    score: float


@dataclass(frozen=True, slots=True)
class ResponseComparison:
    """The scored responses of the first, the last and the intermediate models to one prompt."""

    suite: str
    prompt: str
    before: ScoredResponse
    after: ScoredResponse
    intermediate: tuple[ScoredResponse, ...]

    @property
    def gain(self) -> float:
        """The score of the last model's response minus that of the first."""
        return self.after.score - self.before.score


@dataclass(frozen=True, slots=True)
class FixedPromptResponses:
    """A stage's first and last sampled response to one fixed prompt."""

    prompt: str
    first_step: int
    first_response: str
    last_step: int
    last_response: str


def fixed_prompt_responses(stage: ReportedStage) -> list[FixedPromptResponses]:
    """Return the first and last response of a stage to each of its fixed prompts."""
    responses_by_prompt: dict[str, list[tuple[int, str]]] = {}
    for row in stage.samples:
        step, prompt = row.get("step"), row.get("prompt")
        if isinstance(step, int) and isinstance(prompt, str):
            responses_by_prompt.setdefault(prompt, []).append((step, str(row.get("response", ""))))
    first_and_last = ((prompt, own[0], own[-1]) for prompt, own in responses_by_prompt.items())
    return [
        FixedPromptResponses(p, *first, *last)
        for p, first, last in first_and_last
        if first[0] < last[0]
    ]


def judge_scores(evidence: Evidence) -> dict[str, list[float]]:
    """Return the response scores of each model, from the first judge that has any."""
    verdicts = _verdicts_by_answer(evidence)
    for name in JUDGE_METRICS:
        by_model: dict[str, list[float]] = {}
        for answer in evidence.answers:
            value = verdicts.get(_answer_key(answer), {}).get(name)
            if answer.model in evidence.models and isinstance(value, float):
                by_model.setdefault(answer.model, []).append(value)
        if by_model:
            return {model: by_model[model] for model in evidence.models if model in by_model}
    return {}


def largest_differences(
    evidence: Evidence, *, limit: int = NUM_COMPARISONS
) -> list[ResponseComparison]:
    """Return the largest gains, then the largest losses, alternating between suites."""
    comparisons = list(_compare_first_and_last(evidence))
    gains = sorted(
        (s for s in comparisons if s.gain > 0), key=lambda s: (-s.gain, s.suite, s.prompt)
    )
    losses = sorted(
        (s for s in comparisons if s.gain < 0), key=lambda s: (s.gain, s.suite, s.prompt)
    )
    num_losses = min(len(losses), max(limit // 2, limit - len(gains)))
    return [*_alternate_suites(gains, limit - num_losses), *_alternate_suites(losses, num_losses)]


def _compare_first_and_last(evidence: Evidence) -> Iterator[ResponseComparison]:
    """Yield each prompt for which the first and the last model have a scored response."""
    if len(evidence.models) < 2:  # noqa: PLR2004 -- a comparison needs two models
        return
    verdicts = _verdicts_by_answer(evidence)
    directions = _is_higher_better_by_suite(evidence.results)
    scored_by_prompt: dict[tuple[str, str], dict[str, ScoredResponse]] = {}
    for answer in evidence.answers:
        score = _score(verdicts.get(_answer_key(answer), {}), directions.get(answer.suite, {}))
        if answer.model in evidence.models and answer.response and score is not None:
            scored = ScoredResponse(answer.model, answer.response, score)
            scored_by_prompt.setdefault((answer.suite, answer.prompt), {}).setdefault(
                answer.model, scored
            )
    first, *middle, last = evidence.models
    for (suite, prompt), by_model in scored_by_prompt.items():
        if first in by_model and last in by_model:
            intermediate = tuple(by_model[model] for model in middle if model in by_model)
            yield ResponseComparison(suite, prompt, by_model[first], by_model[last], intermediate)


def _verdicts_by_answer(evidence: Evidence) -> dict[AnswerKey, dict[str, float | str]]:
    """Return all verdicts on each response, including those in the judges' rows."""
    verdicts: dict[AnswerKey, dict[str, float | str]] = {}
    for answer in evidence.answers:
        verdicts.setdefault(_answer_key(answer), {}).update(answer.verdicts)
    return verdicts


def _answer_key(answer: Answer) -> AnswerKey:
    return answer.suite, answer.prompt, answer.response


def _is_higher_better_by_suite(results: Sequence[EvalResult]) -> dict[str, dict[str, bool]]:
    """Return, per suite and metric (without prefix), whether higher is better."""
    by_suite: dict[str, dict[str, bool]] = {}
    for each in results:
        if each.is_higher_better is not None and each.against is None:
            name = each.name.rpartition("/")[2]
            by_suite.setdefault(each.suite, {})[name] = each.is_higher_better
    return by_suite


def _score(
    verdicts: Mapping[str, float | str], is_higher_better: Mapping[str, bool]
) -> float | None:
    """Return the judge's score, otherwise the mean of the graders' verdicts."""
    for name in JUDGE_METRICS:
        value = verdicts.get(name)
        if isinstance(value, float):
            return value
    values = [
        value if is_higher_better.get(name, True) else -value
        for name, value in verdicts.items()
        if isinstance(value, float) and name not in LOWER_IS_BETTER
    ]
    return fmean(values) if values else None


def _alternate_suites(
    comparisons: Sequence[ResponseComparison], limit: int
) -> list[ResponseComparison]:
    """Return up to `limit` comparisons, the first of each suite, then the second, and so on."""
    by_suite: dict[str, list[ResponseComparison]] = {}
    for side in comparisons:
        by_suite.setdefault(side.suite, []).append(side)
    ordered = [
        (rank, suite_index, side)
        for suite_index, own in enumerate(by_suite.values())
        for rank, side in enumerate(own)
    ]
    chosen = sorted(ordered, key=lambda turn: turn[:2])[:limit]
    return sorted((side for *_, side in chosen), key=lambda side: -abs(side.gain))
