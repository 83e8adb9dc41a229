import io
from dataclasses import replace

from rich.console import Console

from upbring.runs.results import EvalResult, JudgeQuality
from upbring.stages.evaluation.scorecard import legend, print_scorecard, scorecard_text


def shown(found: list[EvalResult], models: list[str]) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    print_scorecard(console, found, models)
    return console.export_text()


def test_a_scorecard_has_a_row_a_number_and_an_arrow_where_a_change_is_sure() -> None:
    found = [
        EvalResult("facts", "base", "accuracy", 0.2, 0.1, 0.3, count=50),
        EvalResult("facts", "sft", "accuracy", 0.8, 0.7, 0.9, count=50),
        EvalResult("facts", "sft", "accuracy_change", 0.6, 0.5, 0.7, against="base"),
        EvalResult("refusals", "sft", "over_refusal", 0.1, 0.0, 0.2, is_synthetic=True),
        EvalResult("refusals", "sft", "over_refusal_change", 0.1, -0.1, 0.2, against="base"),
        EvalResult("forgetting", "sft", "perplexity_change", 0.1, 0.05, 0.2, against="base"),
        EvalResult("instructions", "sft", "strict/punctuation:no_comma", 1.0),
    ]
    text = shown(found, ["base", "sft"])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "facts accuracy 20.0 % (10.0 … 30.0) 80.0 % (70.0 … 90.0) ▲" in lines
    assert "refusals over_refusal* 10.0 % (0.0 … 20.0)" in lines
    assert "forgetting perplexity_change against base 10.0 % (5.0 … 20.0)" in lines
    assert "no_comma" not in text
    assert "accuracy_change" not in text


def test_the_text_is_the_table_and_explains_its_signs() -> None:
    found = [
        EvalResult("facts", "base", "accuracy", 0.2, 0.1, 0.3, count=50),
        EvalResult("facts", "sft", "accuracy", 0.8, 0.7, 0.9, count=50, is_synthetic=True),
    ]
    text = scorecard_text(found, ["base", "sft"])
    assert "\x1b" not in text
    assert text.splitlines()[-2:] == [
        "▲▼ significantly above or below the first model (paired by item, 95 %)",
        "* synthetic: judged by the toy world's ground truth or simulated annotators",
    ]
    assert scorecard_text(found[:1], ["base"]).splitlines()[-1].startswith("facts")


def test_a_judge_that_is_not_fit_marks_its_numbers_and_earns_no_arrow() -> None:
    unfit = JudgeQuality("runs/rm", "not fit", "right on 46.7 % of 30 held-out pairs")
    rate = EvalResult("preference", "sft", "reward", 0.9, 0.8, 1.0, 50, "score", judge=unfit)
    change = replace(rate, name="reward_change", against="base")
    few = EvalResult("facts", "sft", "accuracy", 1.0, count=9, too_few=9)
    text = shown([rate, change, few], ["base", "sft"])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "preference reward† 0.9 (0.8 … 1)" in lines
    assert "facts accuracy 100.0 % (n = 9: too few to say)" in lines
    (line,) = legend([rate, change, few], ())
    assert line == f"† no evidence: preference is {unfit.text}"
    fit = replace(unfit, verdict="fit")
    text = shown([replace(rate, judge=fit), replace(change, judge=fit)], ["base", "sft"])
    assert "0.9 (0.8 … 1) ▲" in text


def test_footnotes_name_only_what_is_shown() -> None:
    facts = EvalResult("facts", "sft", "accuracy", 0.8, 0.7, 0.9, 50)
    assert legend([facts], ()) == []
    (line,) = legend([replace(facts, is_synthetic=True)], ())
    assert line.startswith("* synthetic: ")
    (line,) = legend([replace(facts, suite="refusals", name="over_refusal")], ())
    assert line.startswith("refusals are found by rules for English phrases")
