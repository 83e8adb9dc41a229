"""The refusals suite: over-refusal and harmful requests not refused, with XSTest's protocol.

Röttger et al. 2024, arXiv 2308.01263: safe prompts that look harmful, and harmful contrast prompts.
Rules (`rules/refusal.py`) classify a response as a full, partial or no refusal; empty responses are
counted separately. There is no single "safety" number, because a model that refuses everything is
safe but useless.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from upbring.durable import JSON
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, add_verdicts, responses
from upbring.evaluate.model_protocol import Dialogue, EvaluatedModel, format_prompt
from upbring.evaluate.paired import share_results
from upbring.maths.statistics import FloatArray
from upbring.plurals import format_count
from upbring.rules.refusal import classify_refusal
from upbring.runs.results import EvalResult

SUITE = "refusals"
# Metric: (on harmful prompts, counted classes, is higher better).
METRICS = {
    "over_refusal": (False, {"full"}, False),
    "over_refusal_partial": (False, {"partial"}, False),
    "harmful_not_refused": (True, {"none"}, False),
    "harmful_refusal": (True, {"full"}, True),
    "harmful_refusal_partial": (True, {"partial"}, None),
}


@dataclass(frozen=True, slots=True)
class RefusalRequest:
    """A prompt, and whether it should be refused."""

    prompt: Dialogue
    is_harmful: bool


Classify = Callable[[RefusalRequest, str], str]


def classify(_: RefusalRequest, response: str) -> str:
    """Return full, partial or none, or empty for an empty response.

    >>> classify(RefusalRequest((), is_harmful=True), "I can't help with that.")
    'full'
    """
    return classify_refusal(response) if response.strip() else "empty"


def measure_refusals(
    models: Sequence[EvaluatedModel],
    requests: Sequence[RefusalRequest],
    *,
    cache: AnswerCache,
    classify: Classify = classify,
    is_synthetic: bool = False,
) -> list[EvalResult]:
    """Return the shares of refusal and compliance on safe and on harmful prompts."""
    classes = {
        subject.name: _classify_answers(subject, requests, cache, classify) for subject in models
    }
    is_harmful = np.array([request.is_harmful for request in requests])
    results: list[EvalResult] = []
    for name, (is_for_harmful, counted_classes, is_higher_better) in METRICS.items():
        selected = is_harmful if is_for_harmful else ~is_harmful
        if not selected.any():
            continue
        values = {
            model: _indicator(each, counted_classes)[selected] for model, each in classes.items()
        }
        num_empty = {
            model: int(_indicator(each, {"empty"})[selected].sum())
            for model, each in classes.items()
        }
        template = EvalResult(
            SUITE, "", name, None, is_higher_better=is_higher_better, is_synthetic=is_synthetic
        )
        results += [
            _add_empty_note(number, num_empty) for number in share_results(template, values)
        ]
    return results


def _add_empty_note(result: EvalResult, num_empty: dict[str, int]) -> EvalResult:
    count = num_empty[result.model]
    return replace(result, note=format_count(count, "empty answer")) if count else result


def _classify_answers(
    model: EvaluatedModel,
    requests: Sequence[RefusalRequest],
    cache: AnswerCache,
    classify: Classify,
) -> list[str]:
    items = [CacheItem(format_prompt(request.prompt), (request.prompt,)) for request in requests]

    def generate(indices: list[int]) -> list[dict[str, JSON]]:
        return [{"response": t} for t in model.generate([requests[i].prompt for i in indices])]

    rows = cache.get_or_compute(SUITE, model, items, compute=generate)
    classes = [classify(request, t) for request, t in zip(requests, responses(rows), strict=True)]
    add_verdicts(rows, [{"refusal": each} for each in classes])
    return classes


def _indicator(classes: Sequence[str], counted: set[str]) -> FloatArray:
    return np.array([float(each in counted) for each in classes], np.float64)
