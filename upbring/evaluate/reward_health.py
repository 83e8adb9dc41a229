"""Check whether a reward model is fit for RL: metrics on held-out rankings, and a verdict.

A pure function of scores that the caller computes. Each correlation of the scores with a text
feature is compared with that of the human ranks: a reward model that prefers length no more than
the annotators do is not biased.

    not fit         the accuracy is not significantly above chance, or is below MIN_ACCURACY; empty,
                    repeated, copied or spam responses score above the good one in half of the
                    prompts or more
    not measured    fewer than 20 rankings
    use with care   few pairs; accuracy below FAIR_ACCURACY, clearly below the annotator agreement,
                    or above what perfect judgment would reach (leaked data); a calibration error
                    above MAX_CALIBRATION_ERROR; a correlation with length, courtesy or formatting
                    well above that of human ranks; worthless responses that sometimes win

Excluded: score distributions on samples of several models, which need those models.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from upbring.errors import InputError
from upbring.evaluate.reward_statistics import (
    FEATURES,
    RewardStatistic,
    ScoredRankings,
    VoteFigures,
    accuracy_statistics,
    annotator_agreement,
    attainable_accuracy,
    best_and_worst_scores,
    calibration_statistics,
    ceiling_statistics,
    feature_correlations,
    rank_correlation,
    score_distributions,
    worthless_win_rates,
)
from upbring.evaluate.to_results import format_result, to_result
from upbring.evaluate.worthless_responses import WORTHLESS_KINDS, ProbeScores
from upbring.maths import calibration
from upbring.maths.calibration import CalibrationBin
from upbring.maths.statistics import Estimate, FloatArray
from upbring.maths.too_few import MIN_ITEMS
from upbring.plurals import format_count
from upbring.runs.results import REWARD_HEALTH, EvalResult, JudgeQuality, JudgeVerdict

SUITE = REWARD_HEALTH
# Shown in the terminal, next to the probes; all numbers are in results.json.
HEADLINES = {
    *("pair_accuracy", "annotator_agreement", "annotator_alpha", "votes_agreement", "ceiling"),
    *("calibration_error", "correlation_length"),
}
PROBE_PREFIX = "beaten_by_"
MIN_ACCURACY, FAIR_ACCURACY = 0.55, 0.60  # annotators agree with each other in 0.7 … 0.77
MIN_PAIRS = 100
MAX_AGREEMENT_GAP = 0.05
MAX_CALIBRATION_ERROR = 0.15
MAX_EXCESS_CORRELATION = 0.3
UNFIT_WIN_RATE, WARNING_WIN_RATE = 0.5, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class RewardHealth:
    """The verdict, its reasons, all results, and the data for the plots."""

    verdict: JudgeVerdict
    reasons: tuple[str, ...]
    results: tuple[EvalResult, ...]
    bins: tuple[CalibrationBin, ...]  # reliability diagram
    chosen: FloatArray  # score of the best response of each ranking
    rejected: FloatArray  # score of the worst response of each ranking

    def list_results(self) -> list[EvalResult]:
        """Return all results."""
        return list(self.results)

    def format_lines(self) -> list[str]:
        """Return the verdict, its reasons and the most important numbers."""
        shown = [
            number
            for number in self.results
            if (number.name in HEADLINES or number.name.startswith(PROBE_PREFIX))
            and number.value is not None
        ]
        width = max((len(number.name) for number in shown), default=0)
        reason_lines = [f"  {reason}" for reason in self.reasons]
        rows = [f"  {number.name:<{width}}  {format_result(number)}" for number in shown]
        is_synthetic = any(number.is_synthetic for number in self.results)
        synthetic_lines = (
            ["  ranked by simulated annotators: not evidence about people"] if is_synthetic else []
        )
        verdict = "quality not measured" if self.verdict == "not measured" else self.verdict
        return [f"reward model: {verdict} for PPO", *synthetic_lines, *reason_lines, *rows]


def assess_reward_model(
    scores: Sequence[FloatArray],
    ranks: Sequence[FloatArray],
    *,
    annotators: Sequence[str | None] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    prompts: Sequence[str] | None = None,
    probes: ProbeScores | None = None,
    votes: VoteFigures | None = None,
    model: str = "reward",
    is_synthetic: bool = False,
    seed: int = 0,
) -> RewardHealth:
    """Return the health of a reward model from scores `[K]` and ranks `[K]` (1 is best).

    `votes` tells how well the annotators agree, if the rows alone do not.
    """
    rankings = ScoredRankings(
        [np.asarray(s, np.float64) for s in scores],
        [np.asarray(r, np.float64) for r in ranks],
        annotators,
        texts,
        prompts,
        seed,
    )
    _check_rankings(rankings)
    agreed = annotator_agreement(rankings, votes)
    statistics = (
        *accuracy_statistics(rankings),
        rank_correlation(rankings),
        agreed,
        *ceiling_statistics(agreed, votes),
        *calibration_statistics(rankings),
        *feature_correlations(rankings),
        *worthless_win_rates(probes),
        *score_distributions(rankings),
    )
    values = {part.name: part.value for part in statistics}
    verdict, reasons = judge_verdict(values)
    results = [_to_result(part, model, is_synthetic=is_synthetic) for part in statistics]
    quality = _judge_quality(model, verdict, reasons, results[0])
    chosen, rejected = best_and_worst_scores(rankings)
    return RewardHealth(
        verdict=verdict,
        reasons=reasons,
        results=tuple(replace(result, judge=quality) for result in results),
        bins=calibration.reliability_bins(
            *calibration.confidence_and_correctness(rankings.margins)
        ),
        chosen=chosen,
        rejected=rejected,
    )


def judge_verdict(values: Mapping[str, Estimate]) -> tuple[JudgeVerdict, tuple[str, ...]]:
    """Return whether a reward model with these statistics is fit, and the reasons."""
    fault_texts, warning_texts = tuple(find_faults(values)), tuple(find_warnings(values))
    too_few = values["pair_accuracy"].too_few
    if fault_texts:
        verdict: JudgeVerdict = "not fit"
    elif too_few is not None:
        verdict = "not measured"
        reason = (
            f"{too_few} held-out rankings are too few to say whether it is better than chance; "
            f"hold out {MIN_ITEMS} or more"
        )
        warning_texts = (reason, *warning_texts)
    else:
        verdict = "use with care" if warning_texts else "fit"
    return verdict, (*fault_texts, *warning_texts)


def _judge_quality(
    name: str, verdict: JudgeVerdict, reasons: Sequence[str], accuracy: EvalResult
) -> JudgeQuality:
    detail = (
        f"right on {format_result(accuracy)} of {format_count(accuracy.count, 'held-out pair')}"
    )
    return JudgeQuality(name, verdict, "; ".join([detail, *reasons[:1]]))


def find_faults(values: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield the reasons why a reward model is not fit."""
    accuracy = values["pair_accuracy"]
    is_measured = accuracy.too_few is None
    if is_measured and not accuracy.low > 0.5:  # noqa: PLR2004 -- chance
        yield (
            f"pair accuracy {_format_interval(accuracy)} is not significantly above chance; "
            "train on more rankings, or with a larger model"
        )
    elif is_measured and accuracy.value < MIN_ACCURACY:
        yield (
            f"pair accuracy {_format_interval(accuracy)} is below {MIN_ACCURACY:.0%}; "
            "train on more rankings, or with a larger model"
        )
    for kind, wins in _worthless_win_rates(values):
        if wins.too_few is None and wins.value >= UNFIT_WIN_RATE:
            yield (
                f"{kind} responses score above the good one in {wins.value:.0%} of prompts; "
                "add such responses to the rankings with the worst rank"
            )


def find_warnings(values: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield what a user should know before RL against the reward model."""
    accuracy, people = values["pair_accuracy"], values["annotator_agreement"]
    if accuracy.too_few is None and accuracy.count < MIN_PAIRS:
        yield f"only {format_count(accuracy.count, 'held-out pair')}; hold out {MIN_PAIRS} or more"
    if accuracy.low > 0.5 and MIN_ACCURACY <= accuracy.value < FAIR_ACCURACY:  # noqa: PLR2004 -- as above
        yield (
            f"pair accuracy is only {_format_interval(accuracy)}; keep the policy close to the "
            "reference"
        )
    if accuracy.high < people.low - MAX_AGREEMENT_GAP:
        yield (
            f"annotators agree with each other on {_format_interval(people)} of pairs, the reward "
            f"model with them on {_format_interval(accuracy)}; more training can help"
        )
    if people.count and accuracy.low > attainable_accuracy(people.high):
        yield (
            f"the reward model agrees with annotators on {_format_interval(accuracy)} of pairs, "
            f"they with each other on {_format_interval(people)}, which is too good; look for "
            "held-out rows in the training data"
        )
    error, temperature = values["calibration_error"], values["temperature"].value
    if error.too_few is None and error.value > MAX_CALIBRATION_ERROR:
        confidence_text = "overconfident" if temperature > 1 else "underconfident"
        yield f"it is {confidence_text}; divide its scores by {temperature:.2g} to calibrate them"
    yield from _bias_warnings(values)
    for kind, wins in _worthless_win_rates(values):
        if wins.too_few is None and WARNING_WIN_RATE <= wins.value < UNFIT_WIN_RATE:
            yield f"{kind} responses score above the good one in {wins.value:.0%} of prompts"
    truncated = values.get("beaten_by_truncated")
    is_measured = truncated is not None and truncated.too_few is None
    if truncated is not None and is_measured and truncated.value >= UNFIT_WIN_RATE:
        yield f"half a response scores above the whole in {truncated.value:.0%} of prompts"


def _bias_warnings(values: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield the features that the scores correlate with more than the human ranks do."""
    for name in FEATURES:
        model_correlation, people_correlation = (
            values.get(f"correlation_{name}{suffix}") for suffix in ("", "/people")
        )
        if (
            model_correlation is None
            or people_correlation is None
            or not math.isfinite(model_correlation.value)
        ):
            continue
        excess = model_correlation.value - (
            people_correlation.value if math.isfinite(people_correlation.value) else 0.0
        )
        if excess > MAX_EXCESS_CORRELATION and model_correlation.low > 0:
            yield (
                f"its scores increase with {name} (correlation {model_correlation.value:.2f}, "
                f"human ranks {people_correlation.value:.2f}); monitor {name} during RL"
            )


def _worthless_win_rates(values: Mapping[str, Estimate]) -> Iterator[tuple[str, Estimate]]:
    for kind in WORTHLESS_KINDS:
        if (win_rate := values.get(f"beaten_by_{kind}")) is not None:
            yield kind, win_rate


def _format_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} ({estimate.low:.1%} … {estimate.high:.1%})"


def _to_result(statistic: RewardStatistic, model: str, *, is_synthetic: bool) -> EvalResult:
    template = EvalResult(
        SUITE,
        model,
        statistic.name,
        None,
        unit=statistic.unit,
        is_higher_better=statistic.is_higher_better,
        is_synthetic=is_synthetic,
        note=statistic.note,
    )
    return to_result(statistic.value, template)


def _check_rankings(rankings: ScoredRankings) -> None:
    """Raise an InputError for scores that are not finite, or if all pairs are ties."""
    not_finite = [g for g, scores in enumerate(rankings.scores) if not np.isfinite(scores).all()]
    if not_finite:
        raise InputError(
            f"held-out ranking {not_finite[0] + 1}: has a score that is not finite (as have "
            f"{format_count(len(not_finite), 'ranking')} in total); the reward model diverged, "
            "train it with a "
            "lower learning rate"
        )
    for g, (scores, ranks) in enumerate(zip(rankings.scores, rankings.ranks, strict=True)):
        assert len(scores) == len(ranks), f"ranking {g}: {len(scores)} scores, {len(ranks)} ranks"
    if len(rankings.margins) == 0:
        raise InputError(
            "held-out rankings: contain only ties; hold out rankings with different ranks"
        )
