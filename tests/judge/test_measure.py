import math

import numpy as np
import pytest

from tests.judge.scripted_judge import ScriptedJudge, choose, shorter
from upbring.data.read.records import Message
from upbring.judge.judgment import JudgeQuestion, OrderVerdict
from upbring.judge.measure import GoldPair, measure_judge
from upbring.maths.intervals import wilson


def pairs(count: int, *, better: str = "short", worse: str = "a longer one") -> list[GoldPair]:
    return [GoldPair((Message("user", str(i)),), better, worse) for i in range(count)]


def by_number(question: JudgeQuestion) -> int:
    return int(question.prompt[0].content)


def wrong_on(indices: set[int]) -> ScriptedJudge:
    """Return a judge of the shorter response that is wrong, in both orders, on some pairs."""

    def ask(question: JudgeQuestion) -> OrderVerdict:
        verdict = shorter(question)
        return verdict.reversed() if by_number(question) in indices else verdict

    return ScriptedJudge(ask)


def test_agreement_is_the_share_of_pairs_ordered_as_gold() -> None:
    found = measure_judge(wrong_on({3, 8, 20, 21}), pairs(40))
    assert found.agreement.value == 0.9
    assert (found.agreement.low, found.agreement.high) == pytest.approx(wilson(0.9, 40))
    assert (found.flip_rate.value, found.first_position.value) == (0.0, 0.5)
    assert found.problem() is None
    quality = found.quality("j")
    assert quality.verdict == "fit"
    assert quality.detail == (
        "agrees with 90.0 % (76.9 … 96.0) of 40 gold pairs, orders differ on 0.0 % (0.0 … 8.8), "
        "chooses the first on 50.0 % (45.6 … 54.4), bias to longer answers 10.0 % (0.4 … 23.1)"
    )


def test_a_judge_of_the_first_place_is_found() -> None:
    found = measure_judge(ScriptedJudge(lambda _: choose(first=True)), pairs(60))
    assert (found.agreement.value, found.flip_rate.value) == (0.5, 1.0)
    assert found.first_position.value == 1.0
    assert "no better than chance" in str(found.problem())
    assert found.quality("j").verdict == "not fit"


def test_a_judge_that_changes_with_the_order_is_not_fit_even_if_it_agrees() -> None:
    def ask(question: JudgeQuestion) -> OrderVerdict:
        if by_number(question) % 10 < 7:  # a slight lead of the better one, after both orders
            first_is_better = question.responses[0] == "short"
            return OrderVerdict((0.9, 0.1) if first_is_better else (0.55, 0.45))
        return shorter(question)

    found = measure_judge(ScriptedJudge(ask), pairs(100))
    assert (found.agreement.value, found.flip_rate.value) == (1.0, 0.7)
    assert "changes its choice with the order on 70.0 %" in str(found.problem())


def test_a_judge_below_the_required_agreement_is_named_with_its_figure() -> None:
    found = measure_judge(wrong_on(set(range(0, 200, 2)) - set(range(40))), pairs(200))
    assert found.agreement.value == 0.6
    assert found.problem(0.65) == (
        "agrees with 60.0 % (53.1 … 66.5) of 200 gold pairs, less than 65 %"
    )
    assert found.quality("j", min_agreement=0.6).verdict == "use with care"


def test_a_judge_that_does_not_know_the_labels_is_found() -> None:
    def ask(question: JudgeQuestion) -> OrderVerdict:
        return OrderVerdict(None, label_mass=0.01) if by_number(question) % 3 else shorter(question)

    found = measure_judge(ScriptedJudge(ask), pairs(60))
    assert found.agreement.count == 20
    assert found.counts.not_understood == 40
    assert "answers 40 of 60 questions with none of the labels" in str(found.problem())


def test_too_few_pairs_are_not_a_measurement() -> None:
    found = measure_judge(ScriptedJudge(shorter), pairs(5))
    assert found.problem() == "is measured on 5 pairs only"
    assert found.quality("j").verdict == "not measured"
    assert measure_judge(ScriptedJudge(shorter), []).quality("j").verdict == "not measured"


def test_a_preference_for_length_is_measured_against_gold() -> None:
    mixed = [*pairs(30), *pairs(30, better="a longer one", worse="short")]

    def longer(question: JudgeQuestion) -> OrderVerdict:
        return shorter(question).reversed()

    assert measure_judge(ScriptedJudge(longer), mixed).length_bias.value == 0.5
    assert measure_judge(ScriptedJudge(shorter), mixed).length_bias.value == -0.5
    same = pairs(30, better="one", worse="two")
    assert math.isnan(measure_judge(ScriptedJudge(shorter), same).length_bias.value)


def test_self_preference_is_against_the_better_response() -> None:
    def ask(question: JudgeQuestion) -> OrderVerdict:
        if "mine" in question.responses:
            return choose(first=question.responses[0] == "mine")
        return shorter(question)

    found = measure_judge(
        ScriptedJudge(ask), pairs(40), own_responses=["mine"] * 30 + ["", "short"]
    )
    assert (found.self_preference.value, found.self_preference.count) == (1.0, 30)
    assert math.isnan(measure_judge(ScriptedJudge(shorter), pairs(40)).self_preference.value)


def test_saying_nothing_counts_half() -> None:
    found = measure_judge(ScriptedJudge(lambda _: OrderVerdict((0.5, 0.5), 0.8)), pairs(30))
    assert (found.agreement.value, found.counts.abstained) == (0.5, 30)
    assert np.isnan(found.first_position.value)
