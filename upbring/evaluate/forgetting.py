"""What did a model lose on the way? Perplexity on general text, tasks, drift from the first model.

The first subject is *before*, every other is *after*; differences are taken item by item. The
alignment tax is one number per capability. Drift is how far what a model says has moved:
KL(after ‖ before) ≈ mean of log p_after(y) − log p_before(y) over answers y that `after` draws,
by topic, in nats per answer, of at most as many tokens as are drawn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from upbring.durable import JSON
from upbring.evaluate.answer_cache import Item, Journal, judge, responses
from upbring.evaluate.facts import Grade, Question, facts, grade
from upbring.evaluate.model_protocol import Choice, Dialogue, Likelihood, Subject, spoken
from upbring.evaluate.paired import means
from upbring.evaluate.to_results import measured
from upbring.maths import statistics
from upbring.maths.statistics import Estimate, Numbers
from upbring.runs.results import Measured

SUITE = "forgetting"


@dataclass(frozen=True, slots=True)
class Topic:
    """Prompts of one topic, on which drift is measured."""

    name: str
    prompts: tuple[Dialogue, ...]


def perplexities(
    subjects: Sequence[Subject], documents: Sequence[str], *, journal: Journal, seed: int = 0
) -> list[Measured]:
    """Return perplexity, bits per byte, and by what share the perplexity has changed."""
    num_bytes = np.array([len(text.encode()) for text in documents], np.float64)
    losses, counts = {}, {}
    for subject in subjects:
        read = _read(subject, documents, journal)
        losses[subject.name] = np.array([-each.logprob for each in read], np.float64)
        counts[subject.name] = np.array([each.num_tokens for each in read], np.float64)
    found = []
    for model, loss in losses.items():
        nll = statistics.ratio(loss, counts[model], seed=seed)
        found.append(measured(_exponential(nll), _kind("perplexity", model, "perplexity")))
        bits = statistics.ratio(loss / math.log(2), num_bytes, seed=seed)
        found.append(measured(bits, _kind("bits_per_byte", model, "bits")))
    first, *others = losses
    for model in others:
        # per byte, not per token: the two may cut texts otherwise
        grown = statistics.ratio(losses[model] - losses[first], num_bytes, seed=seed)
        per_token = num_bytes.sum() / counts[first].sum()
        made = _exponential(_scaled(grown, per_token), less=1.0)
        kind = _kind("perplexity_change", model, "share", against=first)
        found.append(measured(made, kind))
    return found


def tax(
    subjects: Sequence[Subject],
    capabilities: Mapping[str, Sequence[Question]],
    *,
    journal: Journal,
    grade: Grade = grade,
    is_synthetic: bool = False,
) -> list[Measured]:
    """Return each capability's accuracy and its change: the alignment tax, a line each."""
    return [
        number
        for name, questions in capabilities.items()
        for number in facts(
            subjects,
            questions,
            journal=journal,
            grade=grade,
            suite=SUITE,
            prefix=f"{name}/",
            is_synthetic=is_synthetic,
        )
    ]


def drift(
    subjects: Sequence[Subject], topics: Sequence[Topic], *, journal: Journal, seed: int = 0
) -> list[Measured]:
    """Return by topic how far each subject has moved from the first, in nats per answer."""
    first, *others = subjects
    told: dict[tuple[str, str], tuple[list[str], list[Likelihood]]] = {}
    for subject in others:  # one after the other: each may have to be brought into memory
        spoken_of = speak(subject, topics, journal=journal, seed=seed)
        told |= {(topic, subject.name): both for topic, both in spoken_of.items()}
    found = []
    for topic in topics:
        moved: dict[str, Numbers] = {}
        for subject in others:
            said, now = told[topic.name, subject.name]
            then = _likely(first, topic, said, journal)
            gaps = [n.logprob - t.logprob for n, t in zip(now, then, strict=True)]
            moved[subject.name] = np.array(gaps, np.float64)
        kind = _kind(f"drift/{topic.name}", "", "nats", against=first.name)
        found += [n for n in means(kind, moved, seed=seed) if not n.name.endswith("_change")]
    return found


def speak(
    subject: Subject, topics: Sequence[Topic], *, journal: Journal, seed: int = 0
) -> dict[str, tuple[list[str], list[Likelihood]]]:
    """Return by topic what a subject says, and how likely that is to itself."""
    found = {}
    for topic in topics:
        said = _drawn(subject, topic, journal, seed)
        found[topic.name] = said, _likely(subject, topic, said, journal)
    return found


def _read(subject: Subject, documents: Sequence[str], journal: Journal) -> list[Likelihood]:
    def make(chosen: list[int]) -> list[dict[str, JSON]]:
        read = subject.read([documents[i] for i in chosen])
        return [{"logprobs": [each.logprob, each.num_tokens]} for each in read]

    items = [Item(text) for text in documents]
    rows = journal.kept(SUITE, subject, items, make=make, part="documents")
    found = [_likelihood(row["logprobs"]) for row in rows]
    judge(rows, [{"nll": -each.mean} for each in found])
    return found


def _drawn(subject: Subject, topic: Topic, journal: Journal, seed: int) -> list[str]:
    def make(chosen: list[int]) -> list[dict[str, JSON]]:
        drawn = subject.drawn([topic.prompts[i] for i in chosen], seed=seed)
        return [{"response": text} for text in drawn]

    items = [Item(spoken(prompt), (prompt, seed)) for prompt in topic.prompts]
    return responses(journal.kept(SUITE, subject, items, make=make, part="drawn"))


def _likely(
    subject: Subject, topic: Topic, said: Sequence[str], journal: Journal
) -> list[Likelihood]:
    """Return how likely each answer is to a subject; an empty one is sure."""

    def make(chosen: list[int]) -> list[dict[str, JSON]]:
        asked = [Choice(topic.prompts[i], (said[i],)) for i in chosen if said[i]]
        told = iter(subject.likelihoods(asked))
        found = [next(told)[0] if said[i] else Likelihood(0.0, 0) for i in chosen]
        return [
            {"response": said[i], "logprobs": [each.logprob, each.num_tokens]}
            for i, each in zip(chosen, found, strict=True)
        ]

    pairs = zip(topic.prompts, said, strict=True)
    items = [Item(spoken(prompt), (prompt, text)) for prompt, text in pairs]
    rows = journal.kept(SUITE, subject, items, make=make, part="likely")
    return [_likelihood(row["logprobs"]) for row in rows]


def _likelihood(told: JSON) -> Likelihood:
    logprob, count = cast("list[float]", told)
    return Likelihood(float(logprob), int(count))


def _exponential(made: Estimate, *, less: float = 0.0) -> Estimate:
    value, low, high = (math.exp(v) - less for v in (made.value, made.low, made.high))
    return Estimate(value, low, high, made.count)


def _scaled(made: Estimate, by: float) -> Estimate:
    return Estimate(made.value * by, made.low * by, made.high * by, made.count)


def _kind(name: str, model: str, unit: str, *, against: str | None = None) -> Measured:
    return Measured(SUITE, model, name, None, unit=unit, is_higher_better=False, against=against)
