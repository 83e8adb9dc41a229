from dataclasses import replace

import pytest

from upbring.report import scorecard
from upbring.report.run_data import Evidence
from upbring.report.scorecard import change
from upbring.runs.results import EvalResult, JudgeQuality


def measured(low: float | None, high: float | None, *, better: bool | None = True) -> EvalResult:
    return EvalResult("facts", "m", "accuracy", 0.5, low, high, is_higher_better=better)


@pytest.mark.parametrize(
    ("before", "after", "better", "expected"),
    [
        ((0.1, 0.2), (0.3, 0.4), True, "better"),
        ((0.1, 0.2), (0.3, 0.4), False, "worse"),
        ((0.3, 0.4), (0.1, 0.2), True, "worse"),
        ((0.3, 0.4), (0.1, 0.2), False, "better"),
        ((0.1, 0.3), (0.2, 0.4), True, "not clear"),
        ((0.1, 0.2), (0.3, 0.4), None, "changed"),
        ((None, None), (0.3, 0.4), True, "not known"),
    ],
)
def test_a_change_counts_where_the_intervals_are_apart(
    before: tuple[float, float], after: tuple[float, float], better: object, expected: str
) -> None:
    is_better = None if better is None else bool(better)
    first, last = measured(*before, better=is_better), measured(*after, better=is_better)
    assert change(first, last) == expected


def test_an_unfit_judge_and_too_few_items_show_no_change() -> None:
    low, high = measured(0.1, 0.2), measured(0.8, 0.9)
    assert scorecard.change(low, high) == "better"
    unfit = JudgeQuality("rm", "not fit")
    assert scorecard.change(low, replace(high, judge=unfit)) == "no evidence"
    assert scorecard.change(low, replace(high, judge=replace(unfit, verdict="fit"))) == "better"
    assert scorecard.change(low, replace(high, too_few=9)) == "too few"


def test_a_paired_difference_decides_before_the_intervals_do() -> None:
    first, last = measured(0.1, 0.3), measured(0.2, 0.4)
    assert change(first, last, measured(0.05, 0.15)) == "better"
    assert change(first, last, measured(-0.15, -0.05)) == "worse"
    assert change(first, last, measured(-0.05, 0.15)) == "not clear"


def test_the_scorecard_has_the_metrics_of_at_least_two_models(evidence: Evidence) -> None:
    rows = {(row.suite, row.name): row for row in scorecard.scorecard(evidence)}
    assert len(rows) == 10
    sums = rows["forgetting", "sums/accuracy"]
    assert list(sums.values) == ["base", "sft", "dpo", "ppo"]
    assert (sums.before.value, sums.after.value, sums.change) == (0.62, 0.49, "worse")
    assert sums.paired is not None
    assert sums.change_text == "−13.0 points"
    assert not sums.is_synthetic
    growth = rows["forgetting", "perplexity"]
    assert (growth.change, growth.change_text) == ("worse", "+11.0 %")
    assert rows["facts", "accuracy"].is_synthetic


def test_each_capability_has_one_metric() -> None:
    def row(model: str, name: str) -> EvalResult:
        return EvalResult("forgetting", model, name, 0.5, 0.4, 0.6, is_higher_better=True)

    names = ("sums/exact_match", "sums/choice_accuracy", "sums/accuracy", "perplexity", "drift/a")
    results = tuple(row(model, name) for name in names for model in ("a", "b"))
    rows = scorecard.scorecard(Evidence("t", results=results, models=("a", "b")))
    assert [each.name for each in scorecard.alignment_tax(rows)] == ["sums/accuracy", "perplexity"]
    assert [each.model for each in scorecard.drift(Evidence("t", results=results))] == ["a", "b"]


def test_every_result_is_in_one_table(evidence: Evidence) -> None:
    rows = scorecard.scorecard(evidence)
    rest = scorecard.other_results(evidence, rows)
    assert [(each.suite, each.name) for each in rest] == [("reward_health", "pair_accuracy")]
    assert len(scorecard.win_rates(evidence)) == 3
    assert len(scorecard.refusals(evidence)) == 8
    assert len(scorecard.reward_health(evidence)) == 1


def test_the_last_model_that_has_a_result_is_found(evidence: Evidence) -> None:
    found = scorecard.find_result(evidence, "refusals", "over_refusal")
    assert found is not None
    assert (found.model, found.value) == ("ppo", 0.11)
    first = scorecard.find_result(evidence, "refusals", "over_refusal", model="base")
    assert first is not None
    assert first.value == 0.0
    assert scorecard.find_result(replace(evidence, models=()), "refusals", "over_refusal") is None
