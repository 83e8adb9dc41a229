import numpy as np
import pytest

from tests.judge.scripted_judge import ScriptedJudge, about, choose, shorter
from upbring.judge.judgment import (
    JudgeQuestion,
    Judgment,
    OrderVerdict,
    count_judgments,
    judge_both_orders,
)


def test_both_orders_are_asked_and_are_about_the_responses_as_given() -> None:
    asked: list[JudgeQuestion] = []

    def ask(questions: object) -> list[OrderVerdict]:
        asked.extend(questions)  # type: ignore[call-overload]  # any sequence
        return [OrderVerdict((0.6, 0.3, 0.1)), OrderVerdict((0.2, 0.1, 0.7))]

    (found,) = judge_both_orders([about("Q", "x", "y", "z")], ask)
    assert [each.responses for each in asked] == [("x", "y", "z"), ("z", "y", "x")]
    assert found.verdicts[1].choices == (0.7, 0.1, 0.2)
    assert found.choices == pytest.approx((0.65, 0.2, 0.15))


def test_orders_are_weighted_by_how_far_they_can_say() -> None:
    found = Judgment((OrderVerdict((0.9, 0.1), 0.0), OrderVerdict((0.1, 0.9), 0.75)))
    # (1 · 0.9 + ¼ · 0.1) / 1¼
    assert found.choices == pytest.approx((0.74, 0.26))
    assert found.cannot_say == 0.375
    assert not found.is_abstention


def test_a_judge_of_the_first_place_flips_and_gives_one_half() -> None:
    judge = ScriptedJudge(lambda _: choose(first=True))
    (found,) = judge.judge([about("Q", "x", "y")])
    assert found.is_flipped
    assert found.choices == pytest.approx((0.5, 0.5))


def test_a_judge_of_the_text_does_not_flip() -> None:
    (found,) = ScriptedJudge(shorter).judge([about("Q", "x", "longer")])
    assert found.is_flipped is False
    assert found.choices == pytest.approx((0.9, 0.1))


def test_a_reply_that_is_not_understood_gives_no_probabilities() -> None:
    found = Judgment((OrderVerdict((0.9, 0.1)), OrderVerdict(None, text="prose")))
    assert (found.choices, found.is_flipped, found.is_understood) == (None, None, False)
    assert not found.is_abstention


def test_a_judge_that_cannot_say_at_all_prefers_none() -> None:
    found = Judgment((OrderVerdict((0.9, 0.1), 1.0),))
    assert found.choices == (0.5, 0.5)
    assert found.is_abstention


def test_the_counts_are_those_of_the_judgments() -> None:
    judgments = [
        Judgment((choose(first=True), choose(first=True))),
        Judgment((choose(first=True), choose(first=False))),
        Judgment((OrderVerdict((0.5, 0.5), 0.9), OrderVerdict((0.5, 0.5), 0.9))),
        Judgment((OrderVerdict(None), choose(first=True))),
        Judgment((choose(first=True),)),
    ]
    found = count_judgments(judgments)
    assert (found.asked, found.both_orders, found.flipped) == (5, 2, 1)
    assert (found.abstained, found.not_understood) == (1, 1)
    assert found.label_mass == pytest.approx(np.mean([0.8, 0.8, 0.8, 0.8]))
    assert found.flip_rate == 0.5
    assert count_judgments([]).flip_rate is None
