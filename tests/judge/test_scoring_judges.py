from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.judge.scripted_judge import about
from upbring.judge.load_function import load_function
from upbring.judge.reward_model import ResponseGroup, ScoreArray
from upbring.judge.scoring_judges import RewardJudge, RuleJudge, make_rule_judge


class Lengths:
    """Scores a response by its length; an empty one has no score."""

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        poll()
        return [np.array([len(t) or np.nan for t in g.responses], float) for g in groups]


def test_a_reward_model_gives_the_softmax_of_its_scores() -> None:
    judge = RewardJudge("rm", "rm", Lengths().scores)
    pair, three, empty = judge.judge(
        [about("Q", "abc", "a"), about("Q", "a", "b", "c"), about("Q", "a", "")]
    )
    assert pair.choices == pytest.approx((1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))))
    assert three.choices == pytest.approx((1 / 3,) * 3)
    assert pair.is_flipped is None  # its order cannot matter
    assert not empty.is_understood


def test_a_rule_prefers_the_highest_and_cannot_say_for_equal_ones() -> None:
    judge = RuleJudge("short", "short", lambda _, text: -float(len(text)))
    first, equal, two = judge.judge(
        [about("Q", "a", "bb"), about("Q", "a", "b"), about("Q", "a", "b", "cc")]
    )
    assert (first.choices, first.cannot_say) == ((1.0, 0.0), 0.0)
    assert equal.is_abstention
    assert (two.choices, two.is_abstention) == ((0.5, 0.5, 0.0), False)


def test_a_rule_by_name_judges() -> None:
    judge = make_rule_judge(load_function("is_json", "judge"), log=lambda _: None)
    (found,) = judge.judge([about("Q", "no", "{}")])
    assert (judge.name, found.choices) == ("json", (0.0, 1.0))
