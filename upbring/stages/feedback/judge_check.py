"""Measures a judge before its labels are used, and rejects one that is too weak.

Gold pairs are comparisons by people, or the examples of the principles, each judged by its own
principle.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from upbring.data.read import formats
from upbring.data.read.records import Comparison, Message
from upbring.errors import InputError
from upbring.evaluate.eval_files import select_evenly
from upbring.evaluate.to_results import to_result
from upbring.feedback.principles import Constitution
from upbring.judge.judgment import Judge
from upbring.judge.measure import GoldPair, JudgeMeasurement, measure_judge
from upbring.maths import statistics
from upbring.runs.results import EvalResult
from upbring.settings.judge import JudgeSettings

MAX_GOLD_PAIRS = 200
MAX_OWN_RESPONSES = 30
Write = Callable[[Sequence[tuple[Message, ...]]], list[str]]


def gold_pairs(files: Sequence[Path], constitution: Constitution) -> list[GoldPair]:
    """Return the pairs on which a judge is measured; of a ranking, the best and the worst."""
    if not files:
        return [
            GoldPair((Message("user", each.prompt),), each.better, each.worse, principle.text)
            for principle, each in constitution.examples()
        ]
    return read_gold_pairs(files)


def read_gold_pairs(files: Sequence[Path]) -> list[GoldPair]:
    """Return the pairs of files of comparisons, evenly spread over them if they are many."""
    pairs = []
    for path in files:
        for row in formats.read_records(path, Comparison):
            best, worst = best_and_worst(row)
            pairs.append(GoldPair(row.prompt, best, worst))
    return select_evenly(pairs, MAX_GOLD_PAIRS)


def best_and_worst(row: Comparison) -> tuple[str, str]:
    """Return the best and the worst response of a ranking."""
    ranks = row.ranks
    return row.responses[ranks.index(min(ranks))], row.responses[ranks.index(max(ranks))]


def check_judge(
    judge: Judge,
    pairs: Sequence[GoldPair],
    settings: JudgeSettings,
    *,
    write: Write | None,
    template: EvalResult,
    log: Callable[[str], None],
) -> tuple[JudgeMeasurement, list[EvalResult]]:
    """Return the figures of a judge, and log them; `reject_weak_judge` decides.

    The results are made from `template`, which has their suite and model.
    """
    own = write([each.prompt for each in pairs[:MAX_OWN_RESPONSES]]) if write else []
    found = measure_judge(judge, pairs, own_responses=own)
    quality = found.quality(judge.name, min_agreement=settings.min_agreement)
    log(f"{judge.name}: {quality.verdict}: {quality.detail}; {found.counts.text}")
    return found, list(measurement_results(found, replace(template, judge=quality)))


def reject_weak_judge(
    found: JudgeMeasurement,
    settings: JudgeSettings,
    *,
    name: str,
    log: Callable[[str], None],
    or_else: str = "",
) -> None:
    """Raise if the judge's labels should not be used, unless they are allowed.

    `or_else` is what the user could do without a judge.
    """
    problem = found.problem(settings.min_agreement)
    if problem is None:
        return
    if settings.allow_weak_judge:
        log(f"{name}: {problem}; its labels are used nevertheless, as allow_weak_judge says")
        return
    raise InputError(
        f"judge: {name} {problem}; its labels would teach noise. Name a larger model, the URL of "
        f"an endpoint or a reward model with --judge, give more gold pairs with --gold, {or_else}"
        "or --allow-weak-judge"
    )


def measurement_results(found: JudgeMeasurement, template: EvalResult) -> Iterator[EvalResult]:
    """Yield the figures of a judge, each with its interval."""
    lower, neutral = {"is_higher_better": False}, {"is_higher_better": None}
    for name, estimate, direction in (
        ("judge/agreement", found.agreement, {"is_higher_better": True}),
        ("judge/flip_rate", found.flip_rate, lower),
        ("judge/first_position", found.first_position, neutral),
        ("judge/length_bias", found.length_bias, neutral),
        ("judge/self_preference", found.self_preference, neutral),
        ("judge/cannot_say", _share(found.counts.abstained, found), neutral),
        ("judge/not_understood", _share(found.counts.not_understood, found), lower),
    ):
        if estimate.count:
            yield to_result(estimate, replace(template, name=name, **direction))
    if found.counts.label_mass is not None:
        mass = found.counts.label_mass
        yield replace(template, name="judge/label_mass", value=mass, count=found.counts.asked)


def _share(count: int, found: JudgeMeasurement) -> statistics.Estimate:
    return statistics.proportion(count, found.counts.asked)
