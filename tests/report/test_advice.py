from dataclasses import replace
from pathlib import Path

from upbring.report.advice import advice
from upbring.report.findings import Findings, compute_findings
from upbring.report.run_data import Evidence, ReportedStage
from upbring.runs.data_file import DataFile
from upbring.runs.results import EvalResult


def of(*results: EvalResult, stages: tuple[ReportedStage, ...] = ()) -> str:
    return "\n".join(advice(compute_findings(Evidence("t", stages, results, models=("m",)))))


def test_each_rule_names_the_number_that_triggered_it(findings: Findings) -> None:
    text = "\n".join(advice(findings))
    assert "11.0 % of harmless requests are refused" in text
    assert "harmful requests are not refused" not in text  # 2 % is below the limit of 5 %
    assert "sums: correct answers and perplexity on general text got worse: mix" in text
    assert "agrees with the annotators on 58.0 % of pairs" in text
    assert "Reward hacking was detected: raise kl_coef" in text
    assert "Measure canary_exposure (was not evaluated)" in text


def test_without_results_the_advice_is_to_evaluate() -> None:
    assert of() == ("Evaluate the models with upbring evaluate; this report then compares them.")
    text = of(EvalResult("facts", "m", "accuracy", 0.9))
    assert "Define gates in the recipe" in text
    assert "Not measured yet: forgetting and refusals." in text


def test_harmful_requests_not_refused_and_memorization_give_advice() -> None:
    text = of(
        EvalResult("refusals", "m", "harmful_not_refused", 0.2),
        EvalResult("memorisation", "m", "exposure", 9.0, unit="bits"),
    )
    assert "20.0 % of harmful requests are not refused" in text
    assert "Planted secrets have an exposure of 9 bits" in text


def test_an_interrupted_stage_gives_the_command_that_resumes_it() -> None:
    file = DataFile("chat.jsonl", "0", 50, "messages")
    stage = ReportedStage("sft", "sft", Path("runs/sft"), "interrupted", files=(file,))
    text = of(stages=(replace(stage, records=()),))
    assert "Resume sft: upbring resume sft" in text
