"""Does a model know it? Answers that match what is expected; choices told by log-probability.

An open question is answered in words: `exact_match` letter by letter, `normalised_match` but for
case, punctuation and articles (as SQuAD), and `accuracy`: the expected words stand in the answer,
or its last number is the expected one. A question with alternatives is never answered: the
likeliest ending counts, by its mean log-probability a token (`choice_accuracy`) and by its sum.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from upbring.durable import JSON
from upbring.evaluate.answer_cache import Item, Journal, judge, responses
from upbring.evaluate.model_protocol import Choice, Dialogue, Likelihood, Subject, spoken
from upbring.evaluate.paired import shares
from upbring.maths.statistics import Numbers
from upbring.rules import match
from upbring.runs.results import Measured

SUITE = "facts"
_NUMERIC = re.compile(r"[$€£]?[-+−]?[\d.,]*\d\s?%?")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, what is accepted, and what else could be chosen; plain text is continued."""

    prompt: Dialogue | str
    accepted: tuple[str, ...]
    alternatives: tuple[str, ...] = ()
    truth: Mapping[str, object] = field(default_factory=dict)  # for a grader of its own


Grade = Callable[[Question, str], Mapping[str, float]]


def grade(question: Question, response: str) -> dict[str, float]:
    """Return 0 or 1 for each way to match."""
    accepted = question.accepted

    def any_of(is_match: Callable[[str, str], bool]) -> float:
        return float(any(is_match(response, expected) for expected in accepted))

    return {
        "accuracy": any_of(_is_right),
        "exact_match": any_of(match.is_exact),
        "normalised_match": any_of(match.is_same),
    }


def facts(
    subjects: Sequence[Subject],
    questions: Sequence[Question],
    *,
    journal: Journal,
    grade: Grade = grade,
    suite: str = SUITE,
    prefix: str = "",
    is_synthetic: bool = False,
) -> list[Measured]:
    """Return the shares of right answers and of right choices, and their changes."""
    numbers: dict[str, dict[str, Numbers]] = {}
    for subject in subjects:
        found = _answered(subject, [q for q in questions if not q.alternatives], journal, grade)
        found |= _chosen(subject, [q for q in questions if q.alternatives], journal)
        for name, values in found.items():
            numbers.setdefault(prefix + name, {})[subject.name] = values
    return [
        number
        for name, values in numbers.items()
        for number in shares(
            Measured(suite, "", name, None, is_higher_better=True, is_synthetic=is_synthetic),
            values,
        )
    ]


def _answered(
    subject: Subject, questions: Sequence[Question], journal: Journal, grade: Grade
) -> dict[str, Numbers]:
    """Return each grade by question."""
    if not questions:
        return {}
    items = [Item(spoken(q.prompt), (q.prompt,)) for q in questions]

    def make(chosen: list[int]) -> list[dict[str, JSON]]:
        prompts = [questions[i].prompt for i in chosen]
        talks = [cast("Dialogue", prompt) for prompt in prompts]
        return [{"response": text} for text in subject.answers(talks)]

    rows = journal.kept(SUITE, subject, items, make=make)
    grades = [grade(q, text) for q, text in zip(questions, responses(rows), strict=True)]
    judge(rows, grades)
    return {name: np.array([g[name] for g in grades], np.float64) for name in grades[0]}


def _chosen(
    subject: Subject, questions: Sequence[Question], journal: Journal
) -> dict[str, Numbers]:
    """Return whether the accepted ending is the likeliest, by mean and by sum."""
    if not questions:
        return {}
    endings = [_endings(q) for q in questions]
    items = [
        Item(spoken(q.prompt), (q.prompt, texts))
        for q, texts in zip(questions, endings, strict=True)
    ]

    def make(chosen: list[int]) -> list[dict[str, JSON]]:
        asked = [Choice(questions[i].prompt, endings[i]) for i in chosen]
        return [
            {
                "response": asked[n].endings[_likeliest(found, is_mean=True)],
                "logprobs": [[each.logprob, each.num_tokens] for each in found],
            }
            for n, found in enumerate(subject.likelihoods(asked))
        ]

    rows = journal.kept(SUITE, subject, items, make=make, part="choice")
    found = [_likelihoods(row["logprobs"]) for row in rows]
    verdicts = [
        {
            "choice_accuracy": float(_likeliest(each, is_mean=True) == 0),
            "choice_accuracy_sum": float(_likeliest(each, is_mean=False) == 0),
        }
        for each in found
    ]
    judge(rows, verdicts)
    return {name: np.array([v[name] for v in verdicts], np.float64) for name in verdicts[0]}


def _endings(question: Question) -> tuple[str, ...]:
    """Return the right ending and the others; after plain text they begin with a space."""
    gap = " " if isinstance(question.prompt, str) and not question.prompt[-1:].isspace() else ""
    return tuple(gap + text for text in (question.accepted[0], *question.alternatives))


def _likeliest(found: Sequence[Likelihood], *, is_mean: bool) -> int:
    """Return the place of the likeliest; among equals the last, so that a tie is not right."""
    values = [each.mean if is_mean else each.logprob for each in found]
    return max(range(len(values)), key=lambda i: (values[i], i))


def _likelihoods(told: JSON) -> list[Likelihood]:
    pairs = cast("list[list[float]]", told)
    return [Likelihood(float(logprob), int(count)) for logprob, count in pairs]


def _is_right(response: str, expected: str) -> bool:
    if "####" in expected or _NUMERIC.fullmatch(expected.strip()):
        return match.is_same_number(response, expected)
    return match.holds(response, expected)
