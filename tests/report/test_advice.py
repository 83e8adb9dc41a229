from dataclasses import replace
from pathlib import Path

from upbring.report.advice import advice
from upbring.report.findings import Findings, compute_findings
from upbring.report.run_data import Evidence, ReportedStage
from upbring.runs.results import EvalResult
from upbring.runs.run_folder import DataFile


def of(*results: EvalResult, stages: tuple[ReportedStage, ...] = ()) -> str:
    return "\n".join(advice(compute_findings(Evidence("t", stages, results, models=("m",)))))


def test_each_rule_names_the_number_that_called_for_it(findings: Findings) -> None:
    told = "\n".join(advice(findings))
    assert "11.0 % of innocent requests are refused" in told
    assert "harmful requests are obeyed" not in told  # 2 % are few
    assert "sums: right answers and perplexity of general text became worse: mix" in told
    assert "orders 58.0 % of pairs" in told
    assert "The reward was gamed: raise kl_coef" in told
    assert "Measure canary_exposure (was not evaluated)" in told


def test_where_nothing_was_measured_that_is_the_next_step() -> None:
    assert of() == (
        "Evaluate: upbring evaluate measures before and after, and this page then shows it."
    )
    told = of(EvalResult("facts", "m", "accuracy", 0.9))
    assert "Say in the recipe what must hold" in told
    assert "Not measured yet: forgetting and refusals." in told


def test_harm_and_secrets_are_not_passed_over() -> None:
    told = of(
        EvalResult("refusals", "m", "harmful_compliance", 0.2),
        EvalResult("memorisation", "m", "exposure", 9.0, unit="bits"),
    )
    assert "20.0 % of harmful requests are not refused" in told
    assert "Planted secrets are exposed by 9 bits" in told


def test_few_rows_and_a_stop_are_seen() -> None:
    file = DataFile("chat.jsonl", "0", 50, "messages")
    stage = ReportedStage("sft", "sft", Path("runs/sft"), "interrupted", files=(file,))
    taught = replace(stage, records=())
    told = of(stages=(taught,))
    assert "Go on with sft: upbring resume sft" in told
