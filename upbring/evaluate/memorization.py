"""The memorization suite: exposure of canaries, extraction of training lines.

Exposure (Carlini et al. 2019, arXiv 1802.08232, §4.3): log₂ |R| − log₂ rank of the true secret
among the candidates R by their log-probability; between 0 and log₂ |R|, on average log₂ e ≈ 1.44
for a secret that is not in the training data. Extraction: greedy decoding from the first half of a
line yields exactly the second half (Carlini et al. 2021, arXiv 2012.07805; the prompt is from the
training data, as in arXiv 2202.07646).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from upbring.durable import JSON
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, add_verdicts, responses
from upbring.evaluate.model_protocol import EvaluatedModel, LikelihoodRequest
from upbring.evaluate.paired import mean_results, share_results
from upbring.maths.statistics import FloatArray
from upbring.runs.results import EvalResult

SUITE = "memorisation"
SPARE_TOKENS = 8
MIN_WORDS = 8  # shorter lines are not split


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret after its prompt, the other candidates, and its count in the training data."""

    prompt: str
    secret: str
    alternatives: tuple[str, ...]
    repetitions: int | None = None


@dataclass(frozen=True, slots=True)
class SplitLine:
    """A training line, split into the prompt and the expected continuation."""

    prompt: str
    rest: str


def measure_exposure(
    models: Sequence[EvaluatedModel],
    canaries: Sequence[Canary],
    *,
    cache: AnswerCache,
    is_synthetic: bool = False,
) -> list[EvalResult]:
    """Return the mean exposure in bits: of all trained canaries, and by repetition count."""
    groups = _group_by_repetitions(canaries)
    values = {subject.name: _canary_exposures(subject, canaries, cache) for subject in models}
    template = EvalResult(
        SUITE, "", "", None, unit="bits", is_higher_better=False, is_synthetic=is_synthetic
    )
    results: list[EvalResult] = []
    for name, indices in groups.items():
        group_values = {model: each[indices] for model, each in values.items()}
        max_exposure = max(math.log2(1 + len(canaries[i].alternatives)) for i in indices)
        note = f"at most {max_exposure:.3g}, 1.44 by chance"
        results += mean_results(replace(template, name=name, note=note), group_values)
    return results


def measure_extraction(
    models: Sequence[EvaluatedModel], lines: Sequence[SplitLine], *, cache: AnswerCache
) -> list[EvalResult]:
    """Return the share of lines that each model completes exactly."""
    values = {subject.name: _extraction_hits(subject, lines, cache) for subject in models}
    template = EvalResult(SUITE, "", "extraction", None, is_higher_better=False)
    return list(share_results(template, values))


def split_line(text: str) -> SplitLine | None:
    """Return a line split in the middle, or None if it is too short.

    >>> split_line("one two three four five six seven eight").rest
    'five six seven eight'
    """
    words = text.split()
    if len(words) < MIN_WORDS:
        return None
    half = len(words) // 2
    return SplitLine(" ".join(words[:half]), " ".join(words[half:]))


def rank(logprobs: Sequence[float]) -> float:
    """Return the rank of the first value, 1 is the highest; ties share their middle rank.

    >>> rank([-2.0, -1.0, -3.0]), rank([-1.0, -1.0, -1.0])
    (2.0, 2.0)
    """
    target, others = logprobs[0], logprobs[1:]
    return 1.0 + sum(o > target for o in others) + sum(o == target for o in others) / 2


def _group_by_repetitions(canaries: Sequence[Canary]) -> dict[str, list[int]]:
    """Return the canary indices of each metric name."""
    groups: dict[str, list[int]] = {}
    repeated = [i for i, canary in enumerate(canaries) if canary.repetitions != 0]
    if repeated:
        groups["exposure"] = repeated
    by_repetitions: dict[int, list[int]] = defaultdict(list)
    for i, canary in enumerate(canaries):
        if canary.repetitions is not None:
            by_repetitions[canary.repetitions].append(i)
    return groups | {
        f"exposure/repeated_{t}_times": indices for t, indices in sorted(by_repetitions.items())
    }


def _canary_exposures(
    model: EvaluatedModel, canaries: Sequence[Canary], cache: AnswerCache
) -> FloatArray:
    endings = [
        (" " + c.secret, *(" " + alternative for alternative in c.alternatives)) for c in canaries
    ]

    def compute(indices: list[int]) -> list[dict[str, JSON]]:
        likelihoods = model.likelihoods(
            [LikelihoodRequest(canaries[i].prompt, endings[i]) for i in indices]
        )
        return [
            {
                "response": endings[i][
                    max(range(len(each)), key=lambda n: each[n].logprob)
                ].strip(),
                "rank": rank([ending_likelihood.logprob for ending_likelihood in each]),
            }
            for i, each in zip(indices, likelihoods, strict=True)
        ]

    pairs = zip(canaries, endings, strict=True)
    items = [CacheItem(canary.prompt, (canary_endings,)) for canary, canary_endings in pairs]
    rows = cache.get_or_compute(SUITE, model, items, compute=compute, kind="exposure")
    exposures = [
        math.log2(len(canary_endings)) - math.log2(float(cast("float", row["rank"])))
        for row, canary_endings in zip(rows, endings, strict=True)
    ]
    add_verdicts(rows, [{"exposure": each} for each in exposures])
    return np.array(exposures, np.float64)


def _extraction_hits(
    model: EvaluatedModel, lines: Sequence[SplitLine], cache: AnswerCache
) -> FloatArray:
    def generate(indices: list[int]) -> list[dict[str, JSON]]:
        prompts = [lines[i].prompt for i in indices]
        max_bytes = max(len(lines[i].rest.encode()) for i in indices)
        # Ordinary text has about four bytes per token, and rarely fewer than two.
        completions = model.complete(prompts, max_tokens=max_bytes // 2 + SPARE_TOKENS)
        return [{"response": text} for text in completions]

    items = [CacheItem(line.prompt, (line.rest,)) for line in lines]
    rows = cache.get_or_compute(SUITE, model, items, compute=generate, kind="extraction")
    is_extracted = [
        float(" ".join(text.split()).startswith(line.rest))
        for text, line in zip(responses(rows), lines, strict=True)
    ]
    add_verdicts(rows, [{"extracted": each} for each in is_extracted])
    return np.array(is_extracted, np.float64)
