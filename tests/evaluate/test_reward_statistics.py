import itertools
import math

import numpy as np
import pytest

from upbring.evaluate import reward_statistics as rn
from upbring.evaluate.worthless_responses import ProbeScores

SCORES = [np.array([2.0, 1.0, 0.0]), np.array([0.0, 1.0]), np.array([3.0, 3.0])]
RANKS = [np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0]), np.array([2.0, 1.0])]


def parts(rankings: rn.ScoredRankings) -> dict[str, rn.RewardStatistic]:
    return {part.name: part for part in rn.accuracy_statistics(rankings)}


def test_pairs_are_oriented_by_what_people_prefer() -> None:
    rankings = rn.ScoredRankings(SCORES, RANKS)
    # 1 > 3 > 2: 2−1, 2−0, 0−1; then 0−1; then 3−3
    assert sorted(rankings.margins.tolist()) == [-1.0, -1.0, 0.0, 1.0, 2.0]
    assert rankings.accuracy().value == pytest.approx(2.5 / 5)
    assert rankings.accuracy().count == 5
    assert parts(rankings)["tied_pairs"].value.value == pytest.approx(0.2)


def test_ranks_that_tie_make_no_pair() -> None:
    rankings = rn.ScoredRankings([np.array([1.0, 2.0, 3.0])], [np.array([1.0, 1.0, 2.0])])
    assert rankings.margins.tolist() == [-2.0, -1.0]


def test_accuracy_is_reported_by_score_margin() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 2, 800)
    is_right = rng.random(800) < 1 / (1 + np.exp(-np.abs(margins)))
    scores = [np.array([abs(m), 0.0]) for m in margins]
    ranks = [np.array([1.0, 2.0]) if r else np.array([2.0, 1.0]) for r in is_right]
    found = parts(rn.ScoredRankings(scores, ranks))
    by_margin = [found[f"pair_accuracy/margin_{k}"].value for k in (1, 2, 3, 4)]
    assert [each.count for each in by_margin] == [200] * 4
    assert by_margin[0].value < by_margin[1].value < by_margin[3].value
    assert by_margin[3].value > 0.93


def test_each_annotator_has_an_accuracy_of_their_own() -> None:
    found = parts(rn.ScoredRankings(SCORES, RANKS, annotators=["ann", "bob", None]))
    assert found["pair_accuracy/annotator_ann"].value.value == pytest.approx(2 / 3)
    assert found["pair_accuracy/annotator_bob"].value.value == 0
    alone = parts(rn.ScoredRankings(SCORES, RANKS, annotators=["ann", "ann", None]))
    assert not any("annotator" in name for name in alone)


def test_the_order_is_kendalls_tau_against_the_ranks() -> None:
    # 2 of 3 pairs concordant: τ = 1/3; the second ranking −1; the third is a tie, thus excluded
    found = rn.rank_correlation(rn.ScoredRankings(SCORES, RANKS))
    assert found.value.value == pytest.approx((1 / 3 - 1) / 2)
    assert found.value.count == 2
    assert found.note == "1 ranking with only ties excluded"


def test_agreement_is_measured_on_pairs_that_two_annotators_ranked() -> None:
    texts = [["a", "b", "c"], ["c", "b", "a"], ["a", "b", "c"], ["x", "y"]]
    ranks = [np.array(r) for r in ([1.0, 2, 3], [1.0, 2, 3], [1.0, 3, 2], [1.0, 2])]
    scores = [np.zeros(len(r)) for r in ranks]
    people = ["ann", "bob", "cy", "ann"]
    rankings = rn.ScoredRankings(scores, ranks, people, texts, ["p", "p", "p", "p"])
    # ann abc, bob cba, cy acb: ann–bob 0 of 3, ann–cy 2 of 3, bob–cy 1 of 3
    found = rn.annotator_agreement(rankings)
    assert found.value.value == pytest.approx(3 / 9)
    assert found.value.count == 1  # one prompt has two or more annotators
    other = rn.ScoredRankings(scores, ranks, people, texts, ["p", "q", "r", "s"])
    assert math.isnan(rn.annotator_agreement(other).value.value)
    assert (
        rn.annotator_agreement(rn.ScoredRankings(scores, ranks)).note
        == "no responses were ranked by two annotators"
    )


def test_feature_correlations_are_reported_for_scores_and_people() -> None:
    rng = np.random.default_rng(1)
    texts = [[" ".join(["word"] * int(n)) for n in rng.integers(1, 30, 4)] for _ in range(60)]
    lengths = [np.array([len(t.split()) for t in row], float) for row in texts]
    ranks = [rng.permutation(4) + 1.0 for _ in texts]
    rankings = rn.ScoredRankings(
        [2 * n + 100 * g for g, n in enumerate(lengths)], ranks, texts=texts
    )
    found = {part.name: part.value for part in rn.feature_correlations(rankings)}
    assert found["correlation_length"].value == pytest.approx(1)
    assert found["correlation_length/people"].low < 0 < found["correlation_length/people"].high
    assert math.isnan(found["correlation_courtesy"].value)
    assert list(rn.feature_correlations(rn.ScoredRankings(SCORES, RANKS))) == []


def test_worthless_answers_win_by_how_often_they_are_scored_above() -> None:
    probes = ProbeScores(
        np.array([1.0, 1.0, 1.0, 1.0]),
        {"empty": np.array([0.0, 2.0, 1.0, 0.0]), "spam": np.array([np.nan, 3.0, np.nan, np.nan])},
    )
    found = {part.name: part for part in rn.worthless_win_rates(probes)}
    assert found["beaten_by_empty"].value.value == pytest.approx(1.5 / 4)
    assert found["beaten_by_empty"].note == "mean score difference from the good response -0.25"
    assert (found["beaten_by_spam"].value.value, found["beaten_by_spam"].value.count) == (1, 1)
    assert "beaten_by_copied" not in found
    assert list(rn.worthless_win_rates(None)) == []


def test_the_temperature_reduces_the_calibration_error() -> None:
    rng = np.random.default_rng(2)
    margins = rng.normal(0, 1.5, 3000)
    is_upheld = rng.random(3000) < 1 / (1 + np.exp(-margins))
    scores = [np.array([5 * m, 0.0]) for m in np.where(is_upheld, margins, -margins)]
    rankings = rn.ScoredRankings(scores, [np.array([1.0, 2.0])] * 3000)
    found = {part.name: part.value.value for part in rn.calibration_statistics(rankings)}
    assert found["temperature"] == pytest.approx(5, rel=0.1)
    assert found["calibration_error"] > 0.15
    assert found["calibration_error/cooled"] < 0.03


def test_distributions_are_of_the_best_and_the_worst() -> None:
    best, worst = rn.best_and_worst_scores(rn.ScoredRankings(SCORES, RANKS))
    assert (best.tolist(), worst.tolist()) == ([2.0, 0.0, 3.0], [1.0, 1.0, 3.0])
    chosen, rejected = rn.score_distributions(rn.ScoredRankings(SCORES, RANKS))
    assert chosen.value.value == pytest.approx(5 / 3)
    assert rejected.value.value == pytest.approx(5 / 3)
    assert chosen.note == "standard deviation 1.25"


def test_every_pair_is_counted_once() -> None:
    ranks = np.arange(9.0)
    rankings = rn.ScoredRankings([-ranks], [ranks])
    assert len(rankings.margins) == len(list(itertools.combinations(range(9), 2)))
    assert (rankings.margins > 0).all()
