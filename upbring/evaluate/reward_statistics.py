"""What scores say of rankings, a number after the other: the parts of `reward_health`.

Intervals resample rankings, since the pairs of one ranking are not independent.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from upbring.evaluate.to_results import exactly
from upbring.evaluate.worthless_responses import KINDS, Probes
from upbring.maths import agreement, calibration, statistics
from upbring.maths.statistics import Estimate, Numbers
from upbring.rules.lengths import num_words
from upbring.rules.tone import num_courtesies, num_marks

NUM_MARGINS = 4
FEATURES: Mapping[str, Callable[[str], int]] = {
    "length": num_words,
    "courtesy": num_courtesies,
    "formatting": num_marks,
}


@dataclass(frozen=True, slots=True)
class Part:
    """A number's name, value, unit, and whether more of it is better."""

    name: str
    value: Estimate
    unit: str = "share"
    is_higher_better: bool | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Rankings:
    """Rankings with their scores `[K]` and ranks `[K]` (1 is best), and what else is known."""

    scores: Sequence[Numbers]
    ranks: Sequence[Numbers]
    annotators: Sequence[str | None] | None = None
    texts: Sequence[Sequence[str]] | None = None
    prompts: Sequence[str] | None = None
    seed: int = 0

    @cached_property
    def group(self) -> npt.NDArray[np.int64]:
        """Each pair's ranking, of the pairs of which people prefer one."""
        return np.array([g for g, _ in self._margins()], np.int64)

    @cached_property
    def margins(self) -> Numbers:
        """By how much the preferred answer of each pair is scored higher."""
        return np.array([margin for _, margin in self._margins()], np.float64)

    def _margins(self) -> Iterator[tuple[int, float]]:
        for g, (scores, ranks) in enumerate(zip(self.scores, self.ranks, strict=True)):
            for i, j in itertools.permutations(range(len(ranks)), 2):
                if ranks[i] < ranks[j]:
                    yield g, float(scores[i] - scores[j])

    def accuracy(self, chosen: npt.NDArray[np.bool_] | None = None) -> Estimate:
        """Return the share of (the chosen) pairs that are scored as preferred, ties by half."""
        keep = np.ones(len(self.margins), np.bool_) if chosen is None else chosen
        _, right = calibration.confidence_of(self.margins[keep])
        above = np.bincount(self.group[keep], right, len(self.scores)).astype(np.float64)
        below = np.bincount(self.group[keep], minlength=len(self.scores)).astype(np.float64)
        found = statistics.ratio(above, below, seed=self.seed)
        return Estimate(found.value, found.low, found.high, int(keep.sum()))


def accuracies(rankings: Rankings) -> Iterator[Part]:
    """Yield the accuracy: of all pairs, by how far apart they are scored, by annotator."""
    margins = rankings.margins
    yield Part("pair_accuracy", rankings.accuracy(), is_higher_better=True)
    yield Part("tied_pairs", statistics.share(int((margins == 0).sum()), len(margins)))
    apart = np.abs(margins)
    edges = np.quantile(apart, np.linspace(0, 1, NUM_MARGINS + 1))
    place = np.clip(np.searchsorted(edges, apart, side="right"), 1, NUM_MARGINS)
    for number in range(1, NUM_MARGINS + 1):
        low, high = edges[number - 1], edges[number]
        note = f"scores {low:.2g} … {high:.2g} apart"
        value = rankings.accuracy(place == number)
        yield Part(f"pair_accuracy/margin_{number}", value, is_higher_better=True, note=note)
    people = sorted({name for name in rankings.annotators or () if name is not None})
    for name in people if len(people) > 1 else ():
        own = np.array([who == name for who in rankings.annotators or ()])
        value = rankings.accuracy(own[rankings.group])
        yield Part(f"pair_accuracy/annotator_{name}", value, is_higher_better=True)


def order(rankings: Rankings) -> Part:
    """Return the mean of Kendall's τ-b over rankings, where pairs are rankings of two."""
    pairs = zip(rankings.scores, rankings.ranks, strict=True)
    found = np.array([statistics.kendall(s, -r) for s, r in pairs])
    is_known = np.isfinite(found)
    value = statistics.mean(found[is_known], seed=rankings.seed)
    note = f"{(~is_known).sum()} rankings of ties alone left out" if not is_known.all() else ""
    return Part("rank_correlation", value, "correlation", is_higher_better=True, note=note)


def ceiling(rankings: Rankings) -> Part:
    """Return how often two annotators of the same answers order a pair alike."""
    note = "no answers were ranked by two annotators"
    name = "annotator_agreement"
    if rankings.texts is None or rankings.annotators is None:
        return Part(name, statistics.UNKNOWN, note=note)
    judged: dict[tuple[str, frozenset[str]], dict[str, dict[str, float]]] = defaultdict(dict)
    for g, (texts, ranks) in enumerate(zip(rankings.texts, rankings.ranks, strict=True)):
        who = rankings.annotators[g]
        prompt = rankings.prompts[g] if rankings.prompts is not None else ""
        if who is not None:
            judged[prompt, frozenset(texts)][who] = dict(zip(texts, ranks.tolist(), strict=True))
    right, count = [], []
    for people in judged.values():
        found = [
            agreement.alike(
                *(np.array([each[text] for text in sorted(one)]) for each in (one, two))
            )
            for one, two in itertools.combinations(people.values(), 2)
        ]
        if found:
            right.append(sum(alike for alike, _ in found))
            count.append(float(sum(pairs for _, pairs in found)))
    value = statistics.ratio(np.array(right), np.array(count), seed=rankings.seed)
    return Part(name, value, note="" if count else note)


def _values(ranks: Mapping[str, float], texts: Sequence[str]) -> Numbers:
    return np.array([ranks[text] for text in texts], np.float64)


def calibrations(rankings: Rankings) -> Iterator[Part]:
    """Yield how far confidence is from accuracy, and the temperature that would mend it."""
    margins, count = rankings.margins, len(rankings.margins)
    heat = calibration.temperature(margins)
    for name, divisor in (("calibration_error", 1.0), ("calibration_error/cooled", heat)):
        error = math.nan
        if math.isfinite(divisor):
            error = calibration.calibration_error(*calibration.confidence_of(margins / divisor))
        yield Part(name, exactly(error, count), is_higher_better=False)
    yield Part("temperature", exactly(heat, count), "ratio")


def tastes(rankings: Rankings) -> Iterator[Part]:
    """Yield the correlation of scores, and of people's ranks, with features of the text."""
    if rankings.texts is None:
        return
    sizes = [len(ranks) for ranks in rankings.ranks]
    group = np.repeat(np.arange(len(sizes)), sizes)
    scores = np.concatenate(list(rankings.scores))
    liked = -np.concatenate(list(rankings.ranks))
    for name, feature in FEATURES.items():
        values = np.array([feature(t) for texts in rankings.texts for t in texts], np.float64)
        for who, judged in (("", scores), ("/people", liked)):
            value = statistics.correlation(judged, values, group, seed=rankings.seed)
            note = "" if math.isfinite(value.value) else f"no ranking differs in {name}"
            yield Part(f"correlation_{name}{who}", value, "correlation", note=note)


def beaten(probes: Probes | None) -> Iterator[Part]:
    """Yield how often each worthless answer is scored above the good one, ties by half."""
    for kind in KINDS if probes else ():
        bad = np.asarray(probes.bad.get(kind, ()), np.float64) if probes else np.empty(0)
        if probes is None or not np.isfinite(bad).any():
            continue
        gap = (bad - probes.good)[np.isfinite(bad)]
        wins = float((gap > 0).sum() + 0.5 * (gap == 0).sum())
        value = statistics.share(wins, len(gap))
        note = f"scored {gap.mean():+.2g} against the good answer on average"
        yield Part(f"beaten_by_{kind}", value, is_higher_better=False, note=note)


def distributions(rankings: Rankings) -> Iterator[Part]:
    """Yield the mean score of each ranking's best and of its worst answer."""
    for name, values in zip(("score_chosen", "score_rejected"), extremes(rankings), strict=True):
        note = f"standard deviation {values.std():.3g}"
        yield Part(name, statistics.mean(values, seed=rankings.seed), "score", note=note)


def extremes(rankings: Rankings) -> tuple[Numbers, Numbers]:
    """Return the score of each ranking's best and of its worst answer."""
    both = list(zip(rankings.scores, rankings.ranks, strict=True))
    best = np.array([s[int(r.argmin())] for s, r in both], np.float64)
    return best, np.array([s[int(r.argmax())] for s, r in both], np.float64)
