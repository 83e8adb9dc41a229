import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.evaluate.scripted import Scripted
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.forgetting import measure_perplexity
from upbring.pipeline.gates import check_gate, parse_gate, write_gate_results
from upbring.runs.results import EvalResult, JudgeQuality

MODELS = ("base", "sft", "ppo")


def facts(model: str, value: float | None, low: float, high: float) -> EvalResult:
    return EvalResult("facts", model, "accuracy", value, low, high, 100, note="no rows")


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        (">= 0.7", True),  # the low end is 0.72
        (">= 0.75", False),  # although the value is 0.8
        ("> 72%", False),
        ("<= 0.9", True),  # the high end is 0.88
        ("< 0.85", False),
        (">= sft", False),  # the two intervals overlap
        (">= sft - 9%", True),
        (">= sft - 7%", False),
        ("<= base + 0.9", True),
    ],
)
def test_a_gate_compares_the_unfavorable_end_of_the_interval(
    condition: str, *, passes: bool
) -> None:
    results = [
        facts("base", 0.0, 0, 0.1),
        facts("sft", 0.7, 0.6, 0.8),
        facts("ppo", 0.8, 0.72, 0.88),
    ]
    verdict = check_gate(parse_gate("facts", condition, MODELS), results)
    assert verdict.passed is passes
    assert verdict.model == "ppo"
    assert ("passed" if passes else "FAILED") in verdict.summary


def paired(low: float | None, high: float | None, too_few: int | None = None) -> EvalResult:
    name, against = "accuracy_change", "sft"
    return EvalResult("facts", "ppo", name, 0.1, low, high, 100, against=against, too_few=too_few)


@pytest.mark.parametrize(
    ("condition", "low", "passes"),
    [
        (">= sft", 0.01, True),  # although the two intervals overlap
        (">= sft", -0.01, False),
        (">= sft - 2%", -0.01, True),
        (">= sft + 0.02", 0.01, False),
        ("<= sft + 0.3", 0.01, True),
    ],
)
def test_a_gate_with_a_baseline_compares_the_paired_difference(
    condition: str, low: float, *, passes: bool
) -> None:
    results = [facts("sft", 0.7, 0.6, 0.8), facts("ppo", 0.8, 0.72, 0.88), paired(low, 0.19)]
    found = check_gate(parse_gate("facts", condition, MODELS), results)
    assert found.passed is passes
    assert f"paired difference +0.1 [{low:+.4g}, +0.19]" in found.note
    # about the earlier model, the difference has the other sign
    reverse = check_gate(parse_gate("sft.facts", "< ppo", MODELS), results)
    assert reverse.passed is (low > 0)


def test_zero_against_zero_does_not_pass() -> None:
    results = [
        facts("sft", 0.0, 0.0, 0.04),
        facts("ppo", 0.0, 0.0, 0.04),
        replace(paired(-0.04, 0.04), value=0.0),
    ]
    assert check_gate(parse_gate("facts", ">= sft", MODELS), results).passed is False
    assert check_gate(parse_gate("facts", ">= sft - 5%", MODELS), results).passed is True


def test_too_few_items_neither_pass_nor_fail_a_gate() -> None:
    few = replace(facts("ppo", 1.0, 0, 0), low=None, high=None, too_few=9)
    found = check_gate(parse_gate("facts", ">= 0.5", MODELS), [few])
    assert (found.passed, found.note) == (None, "n = 9: too few to say")
    results = [facts("sft", 0.1, 0.0, 0.3), few, paired(None, None, too_few=9)]
    assert check_gate(parse_gate("facts", ">= sft", MODELS), results).passed is None


def test_an_unfit_judge_cannot_pass_a_gate() -> None:
    won = EvalResult("preference", "ppo", "win_rate", 0.9, 0.85, 0.95, 100, against="base")
    gate = parse_gate("win_rate", ">= 0.6", MODELS)
    for verdict, passes in (("fit", True), ("use with care", True), ("not fit", None)):
        judge = JudgeQuality("runs/rm", verdict, "right on 46.7 % of 30 held-out pairs")  # type: ignore[arg-type]  # a literal
        found = check_gate(gate, [replace(won, judge=judge)])
        assert found.passed is passes
        assert f"judged by runs/rm ({verdict}: right on 46.7 % of 30 held-out pairs)" in found.note


@pytest.mark.parametrize(
    ("condition", "trained", "passes"),
    [
        (">= 0.7", "ppo", None),
        (">= 0.7", "sft", True),  # another model
        (">= sft - 9%", "sft", None),
        (">= 0.7", "", True),
    ],
)
def test_prompts_that_a_model_was_trained_on_cannot_pass_a_gate(
    condition: str, trained: str, *, passes: bool | None
) -> None:
    note = "3 of 100 prompts were in its training data"
    seen = EvalResult("contamination", trained, "facts", 0.03 if trained else 0.0, note=note)
    other = EvalResult("contamination", "ppo", "refusals", 0.5, note="other prompts")
    results = [facts("sft", 0.7, 0.6, 0.8), facts("ppo", 0.8, 0.72, 0.88), seen, other]
    found = check_gate(parse_gate("facts", condition, MODELS), results)
    assert found.passed is passes
    assert (f"no evidence: {note}" in found.note) is (passes is None)


def test_a_perplexity_gate_against_a_baseline_is_paired() -> None:
    # Documents differ much more from each other than the two models do on the same document.
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 60, 200)
    base_nll = rng.normal(2.0, 0.5, 200) * lengths
    change = rng.normal(0.02, 0.03, 200) * lengths
    texts = [f"{i:04}" + " word" * (n - 1) for i, n in enumerate(lengths)]  # n tokens
    base = Scripted("base", {}, dict(zip(texts, -base_nll, strict=True)))
    ppo = Scripted("ppo", {}, dict(zip(texts, -base_nll - change, strict=True)))

    def difference(rows: npt.NDArray[np.int64]) -> float:
        tokens = lengths[rows].sum()
        after = np.exp((base_nll + change)[rows].sum() / tokens)
        return float(after - np.exp(base_nll[rows].sum() / tokens))

    drawn = [difference(rng.integers(0, 200, 200)) for _ in range(2000)]
    expected = np.percentile(drawn, [2.5, 97.5])  # an independent bootstrap over documents
    pattern = r"paired difference ([+\d.]+) \[([+\d.]+), ([+\d.]+)\]"
    for models in ([base, ppo], [ppo, base]):  # evaluated in either order
        results = measure_perplexity(models, texts, cache=AnswerCache())
        gate = parse_gate("perplexity", "<= base + 0.3", ("base", "ppo"))
        found = check_gate(gate, results)
        assert found.passed is True
        ((value, low, high),) = [map(float, each) for each in re.findall(pattern, found.note)]
        assert value == pytest.approx(difference(np.arange(200)), rel=0.01)
        assert (low, high) == pytest.approx(expected, abs=0.15 * (expected[1] - expected[0]))
        strict = parse_gate("perplexity", "<= base + 0.15", ("base", "ppo"))
        assert check_gate(strict, results).passed is False


def test_a_gate_may_name_its_model() -> None:
    assert parse_gate("sft.facts", ">= 0.1", MODELS).model == "sft"


def test_a_gate_may_name_any_number_of_a_suite() -> None:
    results = [EvalResult("forgetting", "ppo", "sums/accuracy", 0.6, 0.5, 0.7, 100)]
    assert (
        check_gate(parse_gate("forgetting/sums/accuracy", ">= 0.5", MODELS), results).passed is True
    )
    assert check_gate(parse_gate("forgetting/sums/speed", ">= 0.5", MODELS), results).passed is None
    with pytest.raises(ValueError, match="unknown metric 'forgetfulness/sums'"):
        parse_gate("forgetfulness/sums", ">= 0.5", MODELS)


def test_a_gate_may_be_about_a_metric_of_the_user() -> None:
    results = [EvalResult("custom", "ppo", "cites", 0.6, 0.5, 0.7, 100)]
    assert check_gate(parse_gate("custom/cites", ">= 0.4", MODELS), results).passed is True
    assert check_gate(parse_gate("custom/cites", ">= 0.55", MODELS), results).passed is False


def test_a_gate_that_was_not_measured_has_not_passed() -> None:
    gate = parse_gate("facts", ">= 0.1", MODELS)
    for results in ([], [facts("ppo", None, 0, 0)]):
        verdict = check_gate(gate, results)
        assert verdict.passed is None
        assert "NOT MEASURED" in verdict.summary
    against = parse_gate("facts", ">= sft", MODELS)
    assert check_gate(against, [facts("ppo", 0.8, 0.7, 0.9)]).passed is None


@pytest.mark.parametrize(
    ("name", "condition", "message"),
    [
        ("fact", ">= 0.1", "unknown metric 'fact'; did you mean facts?"),
        ("facts", "0.1", "is not a condition; write"),
        ("facts", ">= stf - 0.1", "stf is not evaluated; use one of base, sft, ppo"),
        ("dpo.facts", ">= 0.1", "dpo is not evaluated"),
        ("facts", ">= 1.2.3", "'1.2.3' is not a number"),
    ],
)
def test_an_invalid_gate_is_refused(name: str, condition: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_gate(name, condition, MODELS)


def test_the_results_of_gates_are_saved(tmp_path: Path) -> None:
    verdict = check_gate(parse_gate("facts", ">= 0.1", MODELS), [facts("ppo", 0.8, 0.7, 0.9)])
    write_gate_results(tmp_path / "gates.json", [verdict])
    (row,) = json.loads((tmp_path / "gates.json").read_text())
    assert (row["name"], row["passed"], row["low"]) == ("facts", True, 0.7)
