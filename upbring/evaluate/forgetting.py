"""The forgetting suite: perplexity on general text, alignment tax, drift from the first model.

The first model is *before*, every other is *after*; differences are paired by item. The alignment
tax is the change in accuracy on each capability. Drift is
KL(after ‖ before) ≈ mean of log p_after(y) − log p_before(y) over responses y sampled from `after`,
by topic, in nats per response; sampled responses are cut at the token limit.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from upbring.durable import JSON
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, add_verdicts, responses
from upbring.evaluate.facts import Grade, Question, grade, measure_facts
from upbring.evaluate.model_protocol import (
    Dialogue,
    EvaluatedModel,
    Likelihood,
    LikelihoodRequest,
    format_prompt,
)
from upbring.evaluate.paired import mean_results
from upbring.evaluate.to_results import to_result
from upbring.maths import statistics
from upbring.maths.statistics import Estimate, FloatArray
from upbring.runs.results import EvalResult

SUITE = "forgetting"


@dataclass(frozen=True, slots=True)
class TopicPrompts:
    """The prompts of one topic, for measuring drift."""

    name: str
    prompts: tuple[Dialogue, ...]


def measure_perplexity(
    models: Sequence[EvaluatedModel],
    documents: Sequence[str],
    *,
    cache: AnswerCache,
    prefix: str = "",
) -> list[EvalResult]:
    """Return perplexity, bits per byte, and the relative change of the perplexity."""
    num_bytes = np.array([len(text.encode()) for text in documents], np.float64)
    losses, counts = {}, {}
    for model in models:
        likelihoods = _document_likelihoods(model, documents, cache)
        losses[model.name] = np.array([-each.logprob for each in likelihoods], np.float64)
        counts[model.name] = np.array([each.num_tokens for each in likelihoods], np.float64)
    results = []
    for name, loss in losses.items():
        nll = statistics.ratio(loss, counts[name])
        results.append(
            to_result(
                _exponential(nll), _result_template(f"{prefix}perplexity", name, "perplexity")
            )
        )
        bits = statistics.ratio(loss / math.log(2), num_bytes)
        results.append(to_result(bits, _result_template(f"{prefix}bits_per_byte", name, "bits")))
    for earlier, later in itertools.combinations(losses, 2):
        # Per byte, because the two models may have different tokenizers.
        loss_change = statistics.ratio(losses[later] - losses[earlier], num_bytes)
        per_token = num_bytes.sum() / counts[earlier].sum()
        estimate = _exponential(_scale(loss_change, per_token), subtract=1.0)
        template = _result_template(f"{prefix}perplexity_change", later, "share", against=earlier)
        results.append(to_result(estimate, template))
    return results


def measure_alignment_tax(
    models: Sequence[EvaluatedModel],
    capabilities: Mapping[str, Sequence[Question]],
    *,
    cache: AnswerCache,
    grade: Grade = grade,
    is_synthetic: bool = False,
) -> list[EvalResult]:
    """Return the accuracy on each capability and its change, the alignment tax."""
    return [
        number
        for name, questions in capabilities.items()
        for number in measure_facts(
            models,
            questions,
            cache=cache,
            grade=grade,
            suite=SUITE,
            prefix=f"{name}/",
            is_synthetic=is_synthetic,
        )
    ]


def measure_drift(
    models: Sequence[EvaluatedModel],
    topics: Sequence[TopicPrompts],
    *,
    cache: AnswerCache,
    seed: int = 0,
) -> list[EvalResult]:
    """Return by topic the KL of each model from the first, in nats per response."""
    first, *others = models
    samples: dict[tuple[str, str], tuple[list[str], list[Likelihood]]] = {}
    for model in others:  # model by model: at most one is in memory
        samples_by_topic = sample_topics(model, topics, cache=cache, seed=seed)
        samples |= {(topic, model.name): both for topic, both in samples_by_topic.items()}
    results = []
    for topic in topics:
        log_ratios: dict[str, FloatArray] = {}
        for model in others:
            texts, own_likelihoods = samples[topic.name, model.name]
            first_likelihoods = _response_likelihoods(first, topic, texts, cache)
            differences = [
                n.logprob - t.logprob
                for n, t in zip(own_likelihoods, first_likelihoods, strict=True)
            ]
            log_ratios[model.name] = np.array(differences, np.float64)
        template = _result_template(f"drift/{topic.name}", "", "nats", against=first.name)
        results += [n for n in mean_results(template, log_ratios) if not n.name.endswith("_change")]
    return results


def sample_topics(
    model: EvaluatedModel, topics: Sequence[TopicPrompts], *, cache: AnswerCache, seed: int = 0
) -> dict[str, tuple[list[str], list[Likelihood]]]:
    """Return by topic a model's sampled responses and their likelihoods under it."""
    samples_by_topic = {}
    for topic in topics:
        texts = _sample_responses(model, topic, cache, seed)
        samples_by_topic[topic.name] = texts, _response_likelihoods(model, topic, texts, cache)
    return samples_by_topic


def _document_likelihoods(
    model: EvaluatedModel, documents: Sequence[str], cache: AnswerCache
) -> list[Likelihood]:
    def compute(indices: list[int]) -> list[dict[str, JSON]]:
        likelihoods = model.document_likelihoods([documents[i] for i in indices])
        return [{"logprobs": [each.logprob, each.num_tokens]} for each in likelihoods]

    items = [CacheItem(text) for text in documents]
    rows = cache.get_or_compute(SUITE, model, items, compute=compute, kind="documents")
    likelihoods = [_parse_likelihood(row["logprobs"]) for row in rows]
    add_verdicts(rows, [{"nll": -each.mean} for each in likelihoods])
    return likelihoods


def _sample_responses(
    model: EvaluatedModel, topic: TopicPrompts, cache: AnswerCache, seed: int
) -> list[str]:
    def generate(indices: list[int]) -> list[dict[str, JSON]]:
        samples = model.sample([topic.prompts[i] for i in indices], seed=seed)
        return [{"response": text} for text in samples]

    items = [CacheItem(format_prompt(prompt), (prompt, seed)) for prompt in topic.prompts]
    return responses(cache.get_or_compute(SUITE, model, items, compute=generate, kind="drawn"))


def _response_likelihoods(
    model: EvaluatedModel, topic: TopicPrompts, texts: Sequence[str], cache: AnswerCache
) -> list[Likelihood]:
    """Return the likelihood of each response; an empty one has log-probability 0."""

    def compute(indices: list[int]) -> list[dict[str, JSON]]:
        requests = [LikelihoodRequest(topic.prompts[i], (texts[i],)) for i in indices if texts[i]]
        scored = iter(model.likelihoods(requests))
        likelihoods = [next(scored)[0] if texts[i] else Likelihood(0.0, 0) for i in indices]
        return [
            {"response": texts[i], "logprobs": [each.logprob, each.num_tokens]}
            for i, each in zip(indices, likelihoods, strict=True)
        ]

    pairs = zip(topic.prompts, texts, strict=True)
    items = [CacheItem(format_prompt(prompt), (prompt, text)) for prompt, text in pairs]
    rows = cache.get_or_compute(SUITE, model, items, compute=compute, kind="likely")
    return [_parse_likelihood(row["logprobs"]) for row in rows]


def _parse_likelihood(value: JSON) -> Likelihood:
    logprob, count = cast("list[float]", value)
    return Likelihood(float(logprob), int(count))


def _exponential(estimate: Estimate, *, subtract: float = 0.0) -> Estimate:
    value, low, high = (
        math.exp(v) - subtract for v in (estimate.value, estimate.low, estimate.high)
    )
    return replace(estimate, value=value, low=low, high=high)


def _scale(estimate: Estimate, factor: float) -> Estimate:
    return replace(
        estimate,
        value=estimate.value * factor,
        low=estimate.low * factor,
        high=estimate.high * factor,
    )


def _result_template(name: str, model: str, unit: str, *, against: str | None = None) -> EvalResult:
    return EvalResult(SUITE, model, name, None, unit=unit, is_higher_better=False, against=against)
