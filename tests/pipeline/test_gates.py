import json
from pathlib import Path

import pytest

from upbring.pipeline.gates import check_gate, parse_gate, write_gate_results
from upbring.runs.results import EvalResult

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
        (">= sft", True),
        (">= sft + 0.03", False),
        (">= sft - 2%", True),
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
