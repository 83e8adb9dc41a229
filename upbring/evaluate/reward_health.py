"""Is a reward model fit to be optimised against? Numbers on held-out rankings, and a verdict.

A pure function of scores: whoever has the model computes them. Beside each correlation stands that
of what people preferred: a reward that likes length no more than people do is not biased.

    not fit         the accuracy cannot be told from guessing, or is below LEAST_ACCURACY; empty,
                    repeated, copied or spam answers are scored above the good one in half of the
                    prompts or more
    use with care   few pairs; accuracy below FAIR_ACCURACY, clearly below what annotators agree on,
                    or above what the truth would reach (a leak); a calibration error above
                    FAIR_ERROR; a taste for length, courtesy or formatting well above people's;
                    worthless answers that win at times

Left out: distributions on samples of several models, which need those models.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from upbring.errors import InputError
from upbring.evaluate.reward_statistics import (
    FEATURES,
    Part,
    Rankings,
    accuracies,
    beaten,
    calibrations,
    ceiling,
    distributions,
    extremes,
    order,
    tastes,
)
from upbring.evaluate.to_results import measured, told
from upbring.evaluate.worthless_responses import WORTHLESS, Probes
from upbring.maths import calibration
from upbring.maths.calibration import Bin
from upbring.maths.statistics import Estimate, Numbers
from upbring.runs.results import Measured

Verdict = Literal["fit", "use with care", "not fit"]

SUITE = "reward_health"
LEAST_ACCURACY, FAIR_ACCURACY = 0.55, 0.60  # annotators agree with one another in 0.7 … 0.77
FEW_PAIRS = 100
BELOW_PEOPLE = 0.05
FAIR_ERROR = 0.15
MORE_TASTE = 0.3
OFTEN, AT_TIMES = 0.5, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Health:
    """The verdict, its reasons, every number, and what pictures are drawn from."""

    verdict: Verdict
    reasons: tuple[str, ...]
    numbers: tuple[Measured, ...]
    bins: tuple[Bin, ...]  # the reliability curve
    chosen: Numbers  # the score of each ranking's best answer
    rejected: Numbers  # and of its worst

    def measured(self) -> list[Measured]:
        """Return every number."""
        return list(self.numbers)

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        width = max(len(number.name) for number in self.numbers)
        because = [f"  {reason}" for reason in self.reasons]
        rows = [_line(number, width) for number in self.numbers]
        is_synthetic = any(number.is_synthetic for number in self.numbers)
        told = ["  by simulated annotators: not what people would say"] if is_synthetic else []
        return [f"reward model: {self.verdict} for PPO", *told, *because, *rows]


def health(
    scores: Sequence[Numbers],
    ranks: Sequence[Numbers],
    *,
    annotators: Sequence[str | None] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    prompts: Sequence[str] | None = None,
    probes: Probes | None = None,
    model: str = "reward",
    is_synthetic: bool = False,
    seed: int = 0,
) -> Health:
    """Return what scores `[K]` say of each ranking `[K]` (1 is best), and whether to trust them."""
    rankings = Rankings(
        [np.asarray(s, np.float64) for s in scores],
        [np.asarray(r, np.float64) for r in ranks],
        annotators,
        texts,
        prompts,
        seed,
    )
    _check(rankings)
    parts = (
        *accuracies(rankings),
        order(rankings),
        ceiling(rankings),
        *calibrations(rankings),
        *tastes(rankings),
        *beaten(probes),
        *distributions(rankings),
    )
    values = {part.name: part.value for part in parts}
    bad, doubtful = tuple(faults(values)), tuple(doubts(values))
    chosen, rejected = extremes(rankings)
    return Health(
        verdict="not fit" if bad else "use with care" if doubtful else "fit",
        reasons=(*bad, *doubtful),
        numbers=tuple(_number(part, model, is_synthetic=is_synthetic) for part in parts),
        bins=calibration.reliability(*calibration.confidence_of(rankings.margins)),
        chosen=chosen,
        rejected=rejected,
    )


def faults(values: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield what makes a reward model unfit."""
    accuracy = values["pair_accuracy"]
    if not accuracy.low > 0.5:  # noqa: PLR2004 -- what guessing gets
        yield (
            f"its pair accuracy of {_range(accuracy)} cannot be told from guessing; "
            "train on more rankings, or with a larger model"
        )
    elif accuracy.value < LEAST_ACCURACY:
        yield (
            f"its pair accuracy of {_range(accuracy)} is below {LEAST_ACCURACY:.0%}; "
            "train on more rankings, or with a larger model"
        )
    for kind, wins in _wins(values):
        if wins.value >= OFTEN:
            yield (
                f"{kind} answers are scored above the good one in {wins.value:.0%} of prompts; "
                "add such answers to the rankings as the worst"
            )


def doubts(values: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield what a user should know before optimising against a reward model."""
    accuracy, people = values["pair_accuracy"], values["annotator_agreement"]
    if accuracy.count < FEW_PAIRS:
        yield f"only {accuracy.count} held-out pairs; hold out {FEW_PAIRS} or more"
    if accuracy.low > 0.5 and LEAST_ACCURACY <= accuracy.value < FAIR_ACCURACY:  # noqa: PLR2004 -- as above
        yield f"its pair accuracy is {_range(accuracy)}; keep the policy near to the reference"
    if accuracy.high < people.low - BELOW_PEOPLE:
        yield (
            f"annotators agree in {_range(people)} of pairs and it does in {_range(accuracy)}; "
            "there is more to learn"
        )
    if people.count and accuracy.low > attainable(people.high):
        yield (
            f"it agrees with annotators in {_range(accuracy)} of pairs and they with one another "
            f"in {_range(people)}, which is too good; look for held-out rows in the data"
        )
    error, heat = values["calibration_error"], values["temperature"].value
    if error.value > FAIR_ERROR:
        is_sure = "too sure" if heat > 1 else "not sure enough"
        yield f"it is {is_sure}: dividing scores by {heat:.2g} fits how often it is right"
    yield from _leanings(values)
    for kind, wins in _wins(values):
        if AT_TIMES <= wins.value < OFTEN:
            yield f"{kind} answers are scored above the good one in {wins.value:.0%} of prompts"
    half = values.get("beaten_by_truncated")
    if half is not None and half.value >= OFTEN:
        yield f"half an answer is scored above the whole in {half.value:.0%} of prompts"


def attainable(agreement: float) -> float:
    """Return how often who knows the truth agrees with people who agree with one another so often.

    Two who are right with probability p agree in a = p² + (1−p)², so that p = (1 + √(2a−1))/2.

    >>> attainable(0.5), attainable(0.82)
    (0.5, 0.9)
    """
    return round((1 + math.sqrt(max(0.0, 2 * agreement - 1))) / 2, 12)


def _leanings(values: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield for which features it has a taste that people do not have."""
    for name in FEATURES:
        mine, theirs = (values.get(f"correlation_{name}{who}") for who in ("", "/people"))
        if mine is None or theirs is None or not math.isfinite(mine.value):
            continue
        more = mine.value - (theirs.value if math.isfinite(theirs.value) else 0.0)
        if more > MORE_TASTE and mine.low > 0:
            yield (
                f"its scores rise with {name} (correlation {mine.value:.2f}, "
                f"people's {theirs.value:.2f}); watch {name} while optimising"
            )


def _wins(values: Mapping[str, Estimate]) -> Iterator[tuple[str, Estimate]]:
    for kind in WORTHLESS:
        if (found := values.get(f"beaten_by_{kind}")) is not None:
            yield kind, found


def _range(value: Estimate) -> str:
    return f"{value.value:.1%} ({value.low:.1%} … {value.high:.1%})"


def _number(part: Part, model: str, *, is_synthetic: bool) -> Measured:
    kind = Measured(
        SUITE,
        model,
        part.name,
        None,
        unit=part.unit,
        is_higher_better=part.is_higher_better,
        is_synthetic=is_synthetic,
        note=part.note,
    )
    return measured(part.value, kind)


def _line(number: Measured, width: int) -> str:
    note = f"  {number.note}" if number.note and number.value is not None else ""
    return f"  {number.name:<{width}}  {told(number)}{note}"


def _check(rankings: Rankings) -> None:
    """Refuse scores that are not numbers, and rankings that prefer nothing."""
    wrong = [g for g, scores in enumerate(rankings.scores) if not np.isfinite(scores).all()]
    if wrong:
        raise InputError(
            f"held-out ranking {wrong[0] + 1}: has a score that is not finite "
            f"({len(wrong)} rankings do); the reward model diverged, train it with a lower rate"
        )
    for g, (scores, ranks) in enumerate(zip(rankings.scores, rankings.ranks, strict=True)):
        assert len(scores) == len(ranks), f"ranking {g}: {len(scores)} scores, {len(ranks)} ranks"
    if len(rankings.margins) == 0:
        raise InputError(
            "held-out rankings: prefer no answer to another; hold out rankings that are not ties"
        )
