"""The metrics of `reward_health`, computed from the scores and ranks of held-out rankings.

Confidence intervals resample rankings, because the pairs of one ranking are not independent.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from upbring.evaluate.to_results import exact_estimate
from upbring.evaluate.worthless_responses import PROBE_KINDS, ProbeScores
from upbring.maths import agreement, calibration, statistics
from upbring.maths.statistics import Estimate, FloatArray
from upbring.plurals import format_count
from upbring.rules.lengths import num_words
from upbring.rules.tone import num_formatting_marks, num_polite_words

NUM_MARGIN_BINS = 4
FEATURES: Mapping[str, Callable[[str], int]] = {
    "length": num_words,
    "courtesy": num_polite_words,
    "formatting": num_formatting_marks,
}


@dataclass(frozen=True, slots=True)
class RewardStatistic:
    """One metric: name, value, unit, and whether higher is better."""

    name: str
    value: Estimate
    unit: str = "share"
    is_higher_better: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class VoteFigures:
    """How well annotators agree on all votes behind a file, from which held-out rows were taken."""

    agreement: Estimate  # of two annotators on a pair
    alpha: Estimate  # Krippendorff's, of rankings
    source: str  # such as "900 votes of 3 annotators"
    is_consensus: bool = False  # whether each row has the consensus of several votes


@dataclass(frozen=True, eq=False)
class ScoredRankings:
    """Rankings with scores `[K]` and ranks `[K]` (1 is best), and optional metadata."""

    scores: Sequence[FloatArray]
    ranks: Sequence[FloatArray]
    annotators: Sequence[str | None] | None = None
    texts: Sequence[Sequence[str]] | None = None
    prompts: Sequence[str] | None = None
    seed: int = 0

    @cached_property
    def pair_rankings(self) -> npt.NDArray[np.int64]:
        """The ranking index of each pair with different ranks."""
        return np.array([g for g, _ in self._pair_margins()], np.int64)

    @cached_property
    def margins(self) -> FloatArray:
        """The score of the preferred response minus that of the other, of each pair."""
        return np.array([margin for _, margin in self._pair_margins()], np.float64)

    def _pair_margins(self) -> Iterator[tuple[int, float]]:
        for g, (scores, ranks) in enumerate(zip(self.scores, self.ranks, strict=True)):
            for i, j in itertools.permutations(range(len(ranks)), 2):
                if ranks[i] < ranks[j]:
                    yield g, float(scores[i] - scores[j])

    def accuracy(self, is_selected: npt.NDArray[np.bool_] | None = None) -> Estimate:
        """Return the share of the selected pairs that are ordered correctly; ties count ½."""
        selected = np.ones(len(self.margins), np.bool_) if is_selected is None else is_selected
        _, is_correct = calibration.confidence_and_correctness(self.margins[selected])
        num_correct = np.bincount(
            self.pair_rankings[selected], is_correct, len(self.scores)
        ).astype(np.float64)
        num_pairs = np.bincount(self.pair_rankings[selected], minlength=len(self.scores)).astype(
            np.float64
        )
        estimate = statistics.share_of_counts(num_correct, num_pairs)
        return replace(estimate, count=int(selected.sum()))


def accuracy_statistics(rankings: ScoredRankings) -> Iterator[RewardStatistic]:
    """Yield the pair accuracy: of all pairs, by score margin, and by annotator."""
    margins = rankings.margins
    yield RewardStatistic("pair_accuracy", rankings.accuracy(), is_higher_better=True)
    yield RewardStatistic(
        "tied_pairs", statistics.proportion(int((margins == 0).sum()), len(margins))
    )
    distances = np.abs(margins)
    edges = np.quantile(distances, np.linspace(0, 1, NUM_MARGIN_BINS + 1))
    bin_numbers = np.clip(np.searchsorted(edges, distances, side="right"), 1, NUM_MARGIN_BINS)
    for number in range(1, NUM_MARGIN_BINS + 1):
        low, high = edges[number - 1], edges[number]
        note = f"score margin {low:.2g} … {high:.2g}"
        value = rankings.accuracy(bin_numbers == number)
        yield RewardStatistic(
            f"pair_accuracy/margin_{number}", value, is_higher_better=True, note=note
        )
    annotators = sorted({name for name in rankings.annotators or () if name is not None})
    for name in annotators if len(annotators) > 1 else ():
        is_by_annotator = np.array([each == name for each in rankings.annotators or ()])
        value = rankings.accuracy(is_by_annotator[rankings.pair_rankings])
        yield RewardStatistic(f"pair_accuracy/annotator_{name}", value, is_higher_better=True)


def rank_correlation(rankings: ScoredRankings) -> RewardStatistic:
    """Return the mean of Kendall's τ-b over rankings; a pair is a ranking of two."""
    pairs = zip(rankings.scores, rankings.ranks, strict=True)
    correlations = np.array([statistics.kendall_tau(s, -r) for s, r in pairs])
    is_finite = np.isfinite(correlations)
    value = statistics.proportion_difference(
        correlations[is_finite], np.zeros(int(is_finite.sum()))
    )
    num_tied = int((~is_finite).sum())
    note = f"{format_count(num_tied, 'ranking')} with only ties excluded" if num_tied else ""
    return RewardStatistic(
        "rank_correlation", value, "correlation", is_higher_better=True, note=note
    )


def annotator_agreement(
    rankings: ScoredRankings, votes: VoteFigures | None = None
) -> RewardStatistic:
    """Return how often two annotators of the same responses order a pair in the same way.

    If no held-out responses were ranked by two, it is that of the votes behind the file, unless
    rows are their consensus, which a judge can meet more often than single votes.
    """
    found = _held_out_agreement(rankings)
    if found.value.count or votes is None or votes.is_consensus:
        return found
    return replace(found, value=votes.agreement, note=votes.source)


def _held_out_agreement(rankings: ScoredRankings) -> RewardStatistic:
    note = "no responses were ranked by two annotators"
    name = "annotator_agreement"
    if rankings.texts is None or rankings.annotators is None:
        return RewardStatistic(name, statistics.UNKNOWN, note=note)
    ranks_by_annotator: dict[tuple[str, frozenset[str]], dict[str, dict[str, float]]] = defaultdict(
        dict
    )
    for g, (texts, ranks) in enumerate(zip(rankings.texts, rankings.ranks, strict=True)):
        annotator = rankings.annotators[g]
        prompt = rankings.prompts[g] if rankings.prompts is not None else ""
        if annotator is not None:
            ranks_by_annotator[prompt, frozenset(texts)][annotator] = dict(
                zip(texts, ranks.tolist(), strict=True)
            )
    num_concordant, num_pairs = [], []
    for annotator_ranks in ranks_by_annotator.values():
        concordances = [
            agreement.count_concordant_pairs(
                *(np.array([each[text] for text in sorted(one)]) for each in (one, two))
            )
            for one, two in itertools.combinations(annotator_ranks.values(), 2)
        ]
        if concordances:
            num_concordant.append(sum(concordant for concordant, _ in concordances))
            num_pairs.append(float(sum(pairs for _, pairs in concordances)))
    value = statistics.share_of_counts(np.array(num_concordant), np.array(num_pairs))
    return RewardStatistic(name, value, note="" if num_pairs else note)


def ceiling_statistics(
    agreed: RewardStatistic, votes: VoteFigures | None
) -> Iterator[RewardStatistic]:
    """Yield what limits a reward model on these labels: α, and the accuracy of a perfect judge.

    `agreed` is the annotators' agreement on pairs. α is that of the votes behind the file.
    """
    if votes is not None:
        yield RewardStatistic("annotator_alpha", votes.alpha, "alpha", note=votes.source)
    if votes is not None and votes.is_consensus:
        yield RewardStatistic("votes_agreement", votes.agreement, note=votes.source)
    if agreed.value.count:
        value, low, high = (
            attainable_accuracy(each)
            for each in (agreed.value.value, agreed.value.low, agreed.value.high)
        )
        note = "pair accuracy of a perfect judge on labels of annotators who agree so far"
        yield RewardStatistic(
            "ceiling", replace(agreed.value, value=value, low=low, high=high), note=note
        )


def attainable_accuracy(agreement_rate: float) -> float:
    """Return the accuracy of a perfect judge on annotators with this pairwise agreement.

    Two annotators, each right with probability p, agree with probability a = p² + (1−p)², hence
    p = (1 + √(2a−1))/2.

    >>> attainable_accuracy(0.5), attainable_accuracy(0.82)
    (0.5, 0.9)
    """
    return round((1 + math.sqrt(max(0.0, 2 * agreement_rate - 1))) / 2, 12)


def calibration_statistics(rankings: ScoredRankings) -> Iterator[RewardStatistic]:
    """Yield the calibration error before and after temperature scaling, and the temperature."""
    margins, count = rankings.margins, len(rankings.margins)
    temperature = calibration.fit_temperature(margins)
    for name, scale in (("calibration_error", 1.0), ("calibration_error/cooled", temperature)):
        error = math.nan
        if math.isfinite(scale):
            error = calibration.expected_calibration_error(
                *calibration.confidence_and_correctness(margins / scale)
            )
        yield RewardStatistic(name, exact_estimate(error, count), is_higher_better=False)
    yield RewardStatistic("temperature", exact_estimate(temperature, count), "ratio")


def feature_correlations(rankings: ScoredRankings) -> Iterator[RewardStatistic]:
    """Yield the correlations of scores and of human ranks with text features."""
    if rankings.texts is None:
        return
    sizes = [len(ranks) for ranks in rankings.ranks]
    group = np.repeat(np.arange(len(sizes)), sizes)
    scores = np.concatenate(list(rankings.scores))
    negative_ranks = -np.concatenate(list(rankings.ranks))
    for name, feature in FEATURES.items():
        values = np.array([feature(t) for texts in rankings.texts for t in texts], np.float64)
        for suffix, ratings in (("", scores), ("/people", negative_ranks)):
            value = statistics.within_group_correlation(ratings, values, group, seed=rankings.seed)
            note = "" if math.isfinite(value.value) else f"{name} is constant within every ranking"
            yield RewardStatistic(f"correlation_{name}{suffix}", value, "correlation", note=note)


def worthless_win_rates(probes: ProbeScores | None) -> Iterator[RewardStatistic]:
    """Yield how often each worthless response scores above the good one; ties count ½."""
    for kind in PROBE_KINDS if probes else ():
        worthless_scores = (
            np.asarray(probes.worthless.get(kind, ()), np.float64) if probes else np.empty(0)
        )
        if probes is None or not np.isfinite(worthless_scores).any():
            continue
        differences = (worthless_scores - probes.good)[np.isfinite(worthless_scores)]
        wins = (differences > 0) + 0.5 * (differences == 0)
        value = statistics.share(np.asarray(wins, np.float64))
        note = f"mean score difference from the good response {differences.mean():+.2g}"
        yield RewardStatistic(f"beaten_by_{kind}", value, is_higher_better=False, note=note)


def score_distributions(rankings: ScoredRankings) -> Iterator[RewardStatistic]:
    """Yield the mean score of the best and of the worst response of a ranking."""
    for name, values in zip(
        ("score_chosen", "score_rejected"), best_and_worst_scores(rankings), strict=True
    ):
        note = f"standard deviation {values.std():.3g}"
        yield RewardStatistic(name, statistics.mean(values), "score", note=note)


def best_and_worst_scores(rankings: ScoredRankings) -> tuple[FloatArray, FloatArray]:
    """Return the scores of the best and of the worst response of each ranking."""
    rankings_with_ranks = list(zip(rankings.scores, rankings.ranks, strict=True))
    best = np.array([s[int(r.argmin())] for s, r in rankings_with_ranks], np.float64)
    return best, np.array([s[int(r.argmax())] for s, r in rankings_with_ranks], np.float64)
