"""How well a judge judges, measured on pairs whose better response is known.

Agreement with these pairs, position bias, length bias and self-preference, each with an interval,
and the verdict whether its labels may be used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upbring.judge.judgment import (
    DEFAULT_CRITERION,
    Dialogue,
    Judge,
    JudgeCounts,
    JudgeQuestion,
    Judgment,
    count_judgments,
)
from upbring.maths import statistics
from upbring.maths.statistics import UNKNOWN, Estimate, FloatArray
from upbring.plurals import format_count
from upbring.rules.lengths import num_words
from upbring.runs.results import JudgeQuality

MIN_AGREEMENT = 0.6  # below, more than 4 of 10 labels are wrong
FIT_AGREEMENT = 0.7  # the lower bound; people agree with each other on 72 to 77 % (InstructGPT)
MAX_FLIP_RATE = 0.5  # a judge that chooses by chance flips half of the pairs
MAX_NOT_UNDERSTOOD = 0.5


@dataclass(frozen=True, slots=True)
class GoldPair:
    """A prompt with a better and a worse response, known from people or by construction."""

    prompt: Dialogue
    better: str
    worse: str
    criterion: str = DEFAULT_CRITERION


@dataclass(frozen=True, slots=True)
class JudgeMeasurement:
    """The figures of a judge.

    `agreement`: the share of gold pairs that it orders the same way; "cannot say" counts ½.
    `flip_rate`: the share of pairs whose two orders choose different responses.
    `first_position`: the share of choices that fall on the first response; ½ without bias.
    `length_bias`: how much more often it prefers the longer response than the gold labels do.
    `self_preference`: how much more often it prefers its own response to the better one than the
    worse one to the better one; unknown for judges that write no responses.
    """

    agreement: Estimate
    flip_rate: Estimate
    first_position: Estimate
    length_bias: Estimate
    self_preference: Estimate
    counts: JudgeCounts

    def problem(self, min_agreement: float = MIN_AGREEMENT) -> str | None:
        """Return why the judge's labels should not be used; None if they may be."""
        counts, agreement = self.counts, self.agreement
        if counts.not_understood > MAX_NOT_UNDERSTOOD * counts.asked:
            mass = "" if counts.label_mass is None else f", label mass {counts.label_mass:.2g}"
            return (
                f"answers {counts.not_understood} of {counts.asked} questions with none of the "
                f"labels{mass}"
            )
        if agreement.too_few is not None or agreement.count == 0:
            return f"is measured on {format_count(agreement.count, 'pair')} only"
        pairs = format_count(agreement.count, "gold pair")
        found = f"agrees with {_percent(agreement)} of {pairs}"
        if agreement.low <= 0.5:  # noqa: PLR2004 -- chance
            return f"{found}, no better than chance"
        if agreement.value < min_agreement:
            return f"{found}, less than {100 * min_agreement:.0f} %"
        if counts.both_orders and self.flip_rate.low > MAX_FLIP_RATE:
            return f"{found}, and changes its choice with the order on {_percent(self.flip_rate)}"
        return None

    def quality(self, name: str, *, min_agreement: float = MIN_AGREEMENT) -> JudgeQuality:
        """Return the verdict with the figures, to be shown beside every number of this judge."""
        problem = self.problem(min_agreement)
        if self.agreement.too_few is not None or self.agreement.count == 0:
            return JudgeQuality(name, "not measured", problem or "")
        if problem is not None:
            return JudgeQuality(name, "not fit", problem + self._bias_text())
        pairs = format_count(self.agreement.count, "gold pair")
        detail = f"agrees with {_percent(self.agreement)} of {pairs}{self._bias_text()}"
        return JudgeQuality(
            name, "fit" if self.agreement.low >= FIT_AGREEMENT else "use with care", detail
        )

    def _bias_text(self) -> str:
        """Return the measured biases, each with its interval."""
        parts = [
            f", {name} {_percent(estimate)}"
            for name, estimate in (
                ("orders differ on", self.flip_rate),
                ("chooses the first on", self.first_position),
                ("bias to longer answers", self.length_bias),
                ("to its own answers", self.self_preference),
            )
            if estimate.count
        ]
        return "".join(parts)


def measure_judge(
    judge: Judge, pairs: Sequence[GoldPair], *, own_responses: Sequence[str] = ()
) -> JudgeMeasurement:
    """Return the figures of a judge on gold pairs.

    `own_responses` are those of the judging model to the prompts of the first pairs.
    """
    judgments = judge.judge(
        [JudgeQuestion(each.prompt, (each.better, each.worse), each.criterion) for each in pairs]
    )
    wins = np.array([first_wins(each) for each in judgments], np.float64)  # NaN: not understood
    return JudgeMeasurement(
        agreement=statistics.share(wins[~np.isnan(wins)]),
        flip_rate=_flip_rate(judgments),
        first_position=_first_position(judgments),
        length_bias=_length_bias(pairs, wins),
        self_preference=_self_preference(judge, pairs, wins, own_responses),
        counts=count_judgments(judgments),
    )


def first_wins(judgment: Judgment) -> float:
    """Return 1 if the first of two responses is preferred, 0 if the second is, else ½ or NaN."""
    choices = judgment.choices
    if choices is None:
        return float("nan")
    difference = round(choices[0] - choices[1], 9)
    return 0.5 if judgment.is_abstention or difference == 0 else float(difference > 0)


def _flip_rate(judgments: Sequence[Judgment]) -> Estimate:
    counts = count_judgments(judgments)
    return statistics.proportion(counts.flipped, counts.both_orders)


def _first_position(judgments: Sequence[Judgment]) -> Estimate:
    """Return how often the response that was shown first is chosen, over pairs in both orders."""
    shares = []
    for each in judgments:
        if each.is_flipped is not None:
            forward, backward = (verdict.choices or (0.0, 0.0) for verdict in each.verdicts)
            shares.append(((forward[0] > forward[1]) + (backward[1] > backward[0])) / 2)
    return statistics.share(np.array(shares, np.float64))


def _length_bias(pairs: Sequence[GoldPair], wins: FloatArray) -> Estimate:
    """Return P(judge prefers the longer) − P(gold prefers the longer)."""
    longer = np.array([num_words(each.better) - num_words(each.worse) for each in pairs])
    is_used = (longer != 0) & ~np.isnan(wins)
    if not is_used.any():
        return UNKNOWN
    gold = np.asarray(longer[is_used] > 0, np.float64)
    judged = np.where(gold == 1, wins[is_used], 1 - wins[is_used])
    return statistics.paired_difference(judged, gold)


def _self_preference(
    judge: Judge, pairs: Sequence[GoldPair], wins: FloatArray, own_responses: Sequence[str]
) -> Estimate:
    indices = [
        i
        for i, own in enumerate(own_responses)
        if own.strip() and own.strip() != pairs[i].better.strip()
    ]
    questions = [
        JudgeQuestion(pairs[i].prompt, (pairs[i].better, own_responses[i]), pairs[i].criterion)
        for i in indices
    ]
    if not questions:
        return UNKNOWN
    own_losses = np.array([first_wins(each) for each in judge.judge(questions)], np.float64)
    other_losses = wins[indices]
    is_used = ~np.isnan(own_losses) & ~np.isnan(other_losses)
    return statistics.paired_difference(1 - own_losses[is_used], 1 - other_losses[is_used])


def _percent(estimate: Estimate) -> str:
    if np.isnan(estimate.low):
        return f"{100 * estimate.value:.1f} %"
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} … {100 * estimate.high:.1f})"
