import math

import numpy as np
import pytest

from upbring.errors import InputError
from upbring.feedback.select_items import (
    item_priorities,
    require_models,
    score_disagreement,
    score_gap,
)


def test_the_gap_is_that_of_the_mean_scores_of_best_and_worst() -> None:
    assert score_gap(np.array([[1.0, 5.0, 2.0]])) == 4
    assert score_gap(np.array([[0.0, 4.0], [4.0, 0.0]])) == 0


def test_disagreement_is_the_deviation_of_the_probabilities_over_the_models() -> None:
    scores = np.array([[0.0, 1.0, 3.0], [2.0, 1.0, -1.0], [0.5, 0.5, 0.5]])
    expected = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        p = [1 / (1 + math.exp(row[j] - row[i])) for row in scores.tolist()]
        mean = sum(p) / 3
        expected.append(math.sqrt(sum((x - mean) ** 2 for x in p) / 3))
    assert score_disagreement(scores) == pytest.approx(sum(expected) / 3, rel=1e-12)
    assert score_disagreement(np.repeat(scores[:1], 2, axis=0)) == 0


def test_a_response_without_a_score_comes_last() -> None:
    scores = [np.array([[0.0, np.nan], [1.0, 2.0]]), np.array([[0.0, 0.0], [0.0, 0.0]])]
    for how in ("gap", "uncertain"):
        unknown, equal = item_priorities(how, ["a", "b"], scores)  # type: ignore[arg-type]  # both are ways to select
        assert unknown < equal


def test_random_priorities_depend_on_the_seed_and_the_key_alone() -> None:
    keys = [f"key-{n}" for n in range(200)]
    first = item_priorities("random", keys, seed=1)
    assert item_priorities("random", keys[::-1], seed=1) == first[::-1]
    assert item_priorities("random", keys, seed=2) != first
    assert 0.4 < sum(first) / 200 < 0.6


def test_the_models_that_a_selection_needs_are_asked_for() -> None:
    require_models("random", 0)
    require_models("gap", 1)
    require_models("uncertain", 2)
    with pytest.raises(InputError, match="gap needs a reward model, and 0 are given"):
        require_models("gap", 0)
    with pytest.raises(InputError, match="uncertain needs at least two reward models, and 1 are"):
        require_models("uncertain", 1)
    with pytest.raises(InputError, match="random uses none; set --select gap or uncertain"):
        require_models("random", 1)
