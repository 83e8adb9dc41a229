"""What models answered: their scores by model, and where the last one gained or lost most.

A judge's scores stand in rows of the judge's own name; they are joined to the answers that they
speak of, by suite, prompt and response. An answer's score is what a judge gave; where there was no
judge, the mean of what graders said, a better answer being a higher number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from upbring.report.run_data import Answer, Evidence, ReportedStage
from upbring.runs.results import EvalResult

JUDGE_METRICS = ("gold", "reward", "score")  # what judges call theirs
LOWER_IS_BETTER = ("nll", "perplexity")  # lower is better, whatever the suite says
NUM_COMPARISONS = 20

AnswerKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """An answer with its score."""

    model: str
    response: str
    score: float


@dataclass(frozen=True, slots=True)
class ResponseComparison:
    """Two models' answers to one prompt; `gain` is by how much the last is better."""

    suite: str
    prompt: str
    before: ScoredResponse
    after: ScoredResponse
    intermediate: tuple[ScoredResponse, ...]

    @property
    def gain(self) -> float:
        """How much better the last answer is."""
        return self.after.score - self.before.score


@dataclass(frozen=True, slots=True)
class FixedPromptResponses:
    """What one stage answered to a fixed prompt, at its first and its last evaluation."""

    prompt: str
    first_step: int
    first_response: str
    last_step: int
    last_response: str


def fixed_prompt_responses(stage: ReportedStage) -> list[FixedPromptResponses]:
    """Return the first and the last answer of a stage to each of its fixed prompts."""
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
    """Return what the judge gave to the answers of each model; of the first judge that is found."""
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
    """Return the biggest gains, then the biggest losses, the suites taking turns."""
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
    """Yield each prompt that the first and the last model answered, where both have a score."""
    if len(evidence.models) < 2:  # noqa: PLR2004 -- two sides
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
    """Return all that was said of each answer, also in rows of a judge's own."""
    verdicts: dict[AnswerKey, dict[str, float | str]] = {}
    for answer in evidence.answers:
        verdicts.setdefault(_answer_key(answer), {}).update(answer.verdicts)
    return verdicts


def _answer_key(answer: Answer) -> AnswerKey:
    return answer.suite, answer.prompt, answer.response


def _is_higher_better_by_suite(results: Sequence[EvalResult]) -> dict[str, dict[str, bool]]:
    """Return of each suite's numbers whether more is better; a name may carry a prefix."""
    by_suite: dict[str, dict[str, bool]] = {}
    for each in results:
        if each.is_higher_better is not None and each.against is None:
            name = each.name.rpartition("/")[2]
            by_suite.setdefault(each.suite, {})[name] = each.is_higher_better
    return by_suite


def _score(
    verdicts: Mapping[str, float | str], is_higher_better: Mapping[str, bool]
) -> float | None:
    """Return the judge's score, or else the mean of the graders' verdicts."""
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
    """Return the first of each suite, then the second of each, until there are enough."""
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
