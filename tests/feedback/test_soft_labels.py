import pytest

from upbring.feedback.principles import Principle
from upbring.feedback.soft_labels import PrincipleJudgment, SoftLabel, combine_judgments
from upbring.judge.judgment import Judgment, OrderVerdict


def said(
    first: float, *, cannot_say: float = 0.0, weight: float = 1.0, other: float | None = None
) -> PrincipleJudgment:
    """Return a judgment; `other` is the probability in the other order."""
    verdicts = [OrderVerdict((p, 1 - p), cannot_say) for p in (first, other) if p is not None]
    return PrincipleJudgment(Principle("p", "x", weight=weight), Judgment(tuple(verdicts)))


def label(
    *judgments: PrincipleJudgment,
    clamp: float | None = None,
    drops_flipped: bool = False,
    weighted: bool = False,
) -> SoftLabel:
    return combine_judgments(judgments, clamp=clamp, drops_flipped=drops_flipped, weighted=weighted)


def test_a_label_is_the_mean_of_what_the_principles_say() -> None:
    found = label(said(0.9), said(0.4))
    assert (found.outcome, found.probability) == ("labeled", pytest.approx(0.65))
    assert found.is_first_better
    weighted = label(said(0.9, weight=3), said(0.4), weighted=True)
    assert weighted.probability == pytest.approx((3 * 0.9 + 0.4) / 4)


def test_a_principle_counts_as_far_as_it_can_say() -> None:
    found = label(said(0.9), said(0.1, cannot_say=0.75))
    assert found.probability == pytest.approx((0.9 + 0.25 * 0.1) / 1.25)
    assert found.weight == 1.0
    assert label(said(0.9, cannot_say=0.2)).weight == pytest.approx(0.8)


def test_labels_are_clamped_only_where_it_is_asked_for() -> None:
    assert label(said(0.99)).probability == pytest.approx(0.99)
    assert label(said(0.99), clamp=0.6).probability == 0.6
    assert label(said(0.01), clamp=0.6).probability == pytest.approx(0.4)
    assert label(said(0.55), clamp=0.6).probability == pytest.approx(0.55)


def test_judgments_that_depend_on_the_order_are_averaged_or_dropped() -> None:
    assert label(said(0.9, other=0.2)).probability == pytest.approx(0.55)
    assert label(said(0.9, other=0.2), drops_flipped=True).outcome == "flipped"
    kept = label(said(0.9, other=0.2), said(0.3, other=0.3), drops_flipped=True)
    assert kept.probability == pytest.approx(0.3)


def test_without_a_preference_there_is_no_label() -> None:
    unclear = PrincipleJudgment(Principle("p", "x"), Judgment((OrderVerdict(None),)))
    assert label(unclear).outcome == "not understood"
    assert label(said(0.9, cannot_say=1.0)).outcome == "cannot say"
    assert label(said(0.9, cannot_say=0.6)).outcome == "cannot say"
    assert label(said(0.9), said(0.1)).outcome == "tied"
    assert label(unclear, said(0.8)).probability == pytest.approx(0.8)
    assert label().outcome == "not understood"
