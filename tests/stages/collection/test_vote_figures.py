import random

import pytest

from tests.feedback.labeling.test_quality import ANN, BOB, item_of, vote_of
from upbring.maths.agreement import fleiss_kappa, pair_signs, ranking_alpha
from upbring.stages.collection.vote_figures import vote_results
from upbring.votes.counted_votes import VoteFilter
from upbring.votes.records import LabelAnnotator

SAME, SWAPPED = (1, 2, 3, 4), (2, 1, 3, 4)  # one of six pairs differs
SIMULATED = LabelAnnotator(3, "sim", True, False)  # noqa: FBT003 -- simulated, not revoked


def test_the_figures_are_those_of_all_annotators_together() -> None:
    items = [*(item_of(n) for n in range(40)), item_of(99, gold=SAME)]
    votes = [vote_of(ANN, item, SAME) for item in items]
    votes += [vote_of(BOB, item, SWAPPED if n < 10 else SAME) for n, item in enumerate(items)]
    votes += [vote_of(BOB, items[0], SAME, is_repeat=True)]
    found = {each.name: each for each in vote_results(items, votes)}
    assert {name: found[name].value for name in ("annotators", "items", "votes")} == {
        "annotators": 2,
        "items": 40,
        "votes": 80,
    }
    assert found["agreement"].value == pytest.approx(1 - 10 / 240)
    assert found["agreement"].count == 40
    assert found["self_consistency"].value == pytest.approx(5 / 6)
    assert found["gold_accuracy"].value == 1.0
    assert found["prefers_longer"].value == pytest.approx(10 / 480)  # the first is the shortest
    assert not found["agreement"].is_synthetic
    table = [[SAME, SWAPPED if n < 10 else SAME] for n in range(40)]
    assert found["alpha"].value == pytest.approx(ranking_alpha(table), abs=1e-12)
    low, high = found["alpha"].low, found["alpha"].high
    assert low is not None
    assert high is not None
    assert low < ranking_alpha(table) < high
    units = [unit for row in table for unit in pair_signs(row)]
    assert found["kappa"].value == pytest.approx(fleiss_kappa(units))


def test_only_accepted_votes_count_and_simulated_ones_are_marked() -> None:
    draws = random.Random(1)
    items = [item_of(n) for n in range(3)]
    votes = [
        vote_of(who, item, tuple(draws.sample(range(1, 5), 4)))
        for item in items
        for who in (ANN, SIMULATED)
    ]
    assert all(each.is_synthetic for each in vote_results(items, votes))
    only = vote_results(items, votes, VoteFilter(frozenset({"Ann"})))
    found = {each.name: each for each in only}
    assert found["votes"].value == 3
    assert not found["votes"].is_synthetic
    assert "agreement" not in found  # nobody else voted
