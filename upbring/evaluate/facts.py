"""The facts suite: open questions by matching, multiple choice by log-probability.

For an open question the model generates an answer. `exact_match` ignores only surrounding white
space; `normalised_match` ignores case, punctuation and articles (as SQuAD); `accuracy` requires
that the answer contains the expected words, or that its last number is the expected one. For a
question with alternatives nothing is generated: the ending with the highest mean log-probability
per token (`choice_accuracy`) or the highest sum (`choice_accuracy_sum`) is the choice.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from upbring.durable import JSON
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, add_verdicts, responses
from upbring.evaluate.model_protocol import (
    Dialogue,
    EvaluatedModel,
    Likelihood,
    LikelihoodRequest,
    format_prompt,
)
from upbring.evaluate.paired import share_results
from upbring.maths.statistics import FloatArray
from upbring.rules import match
from upbring.runs.results import EvalResult

SUITE = "facts"
_NUMERIC = re.compile(r"[$€£]?[-+−]?[\d.,]*\d\s?%?")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its accepted answers and alternatives; a `str` prompt is plain text."""

    prompt: Dialogue | str
    accepted: tuple[str, ...]
    alternatives: tuple[str, ...] = ()
    truth: Mapping[str, object] = field(default_factory=dict)  # for a custom grader


Grade = Callable[[Question, str], Mapping[str, float]]


def grade(question: Question, response: str) -> dict[str, float]:
    """Return 0 or 1 for each metric."""
    accepted = question.accepted

    def matches_any(is_match: Callable[[str, str], bool]) -> float:
        return float(any(is_match(response, expected) for expected in accepted))

    return {
        "accuracy": matches_any(_is_correct),
        "exact_match": matches_any(match.is_exact),
        "normalised_match": matches_any(match.is_normalized_match),
    }


def measure_facts(
    models: Sequence[EvaluatedModel],
    questions: Sequence[Question],
    *,
    cache: AnswerCache,
    grade: Grade = grade,
    suite: str = SUITE,
    prefix: str = "",
    is_synthetic: bool = False,
) -> list[EvalResult]:
    """Return each metric of each model, and the paired changes from the first model."""
    values_by_metric: dict[str, dict[str, FloatArray]] = {}
    for model in models:
        scores = _grade_answers(model, [q for q in questions if not q.alternatives], cache, grade)
        scores |= _grade_choices(model, [q for q in questions if q.alternatives], cache)
        for name, values in scores.items():
            values_by_metric.setdefault(prefix + name, {})[model.name] = values
    return [
        number
        for name, values in values_by_metric.items()
        for number in share_results(
            EvalResult(suite, "", name, None, is_higher_better=True, is_synthetic=is_synthetic),
            values,
        )
    ]


def _grade_answers(
    model: EvaluatedModel, questions: Sequence[Question], cache: AnswerCache, grade: Grade
) -> dict[str, FloatArray]:
    """Return each metric by question `[n]`."""
    if not questions:
        return {}
    items = [CacheItem(format_prompt(q.prompt), (q.prompt,)) for q in questions]

    def generate(indices: list[int]) -> list[dict[str, JSON]]:
        prompts = [questions[i].prompt for i in indices]
        dialogues = [cast("Dialogue", prompt) for prompt in prompts]
        return [{"response": text} for text in model.generate(dialogues)]

    rows = cache.get_or_compute(SUITE, model, items, compute=generate)
    grades = [grade(q, text) for q, text in zip(questions, responses(rows), strict=True)]
    add_verdicts(rows, grades)
    return {name: np.array([g[name] for g in grades], np.float64) for name in grades[0]}


def _grade_choices(
    model: EvaluatedModel, questions: Sequence[Question], cache: AnswerCache
) -> dict[str, FloatArray]:
    """Return by question `[n]` whether the accepted ending is the likeliest."""
    if not questions:
        return {}
    endings = [_endings(q) for q in questions]
    items = [
        CacheItem(format_prompt(q.prompt), (q.prompt, texts))
        for q, texts in zip(questions, endings, strict=True)
    ]

    def compute(indices: list[int]) -> list[dict[str, JSON]]:
        requests = [LikelihoodRequest(questions[i].prompt, endings[i]) for i in indices]
        return [
            {
                "response": requests[n].endings[_most_likely_index(likelihoods, is_mean=True)],
                "logprobs": [[each.logprob, each.num_tokens] for each in likelihoods],
            }
            for n, likelihoods in enumerate(model.likelihoods(requests))
        ]

    rows = cache.get_or_compute(SUITE, model, items, compute=compute, kind="choice")
    likelihoods = [_parse_likelihoods(row["logprobs"]) for row in rows]
    verdicts = [
        {
            "choice_accuracy": float(_most_likely_index(each, is_mean=True) == 0),
            "choice_accuracy_sum": float(_most_likely_index(each, is_mean=False) == 0),
        }
        for each in likelihoods
    ]
    add_verdicts(rows, verdicts)
    return {name: np.array([v[name] for v in verdicts], np.float64) for name in verdicts[0]}


def _endings(question: Question) -> tuple[str, ...]:
    """Return the accepted ending, then the others; after plain text each starts with a space."""
    gap = " " if isinstance(question.prompt, str) and not question.prompt[-1:].isspace() else ""
    return tuple(gap + text for text in (question.accepted[0], *question.alternatives))


def _most_likely_index(likelihoods: Sequence[Likelihood], *, is_mean: bool) -> int:
    """Return the index of the likeliest; the last one of a tie, so that ties count as wrong."""
    values = [each.mean if is_mean else each.logprob for each in likelihoods]
    return max(range(len(values)), key=lambda i: (values[i], i))


def _parse_likelihoods(value: JSON) -> list[Likelihood]:
    pairs = cast("list[list[float]]", value)
    return [Likelihood(float(logprob), int(count)) for logprob, count in pairs]


def _is_correct(response: str, expected: str) -> bool:
    if "####" in expected or _NUMERIC.fullmatch(expected.strip()):
        return match.is_same_number(response, expected)
    return match.contains_phrase(response, expected)
