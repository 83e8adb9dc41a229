from dataclasses import replace
from pathlib import Path

import pytest

from upbring.report import sentences
from upbring.report.findings import Findings, compute_findings
from upbring.report.run_data import Evidence, ReportedGate, ReportedStage
from upbring.runs.metrics import MetricsRecord


def gate(name: str, *, passed: bool | None) -> ReportedGate:
    return ReportedGate(name, ">= 0.5", "m", None, None, None, passed, "")


@pytest.mark.parametrize(
    ("passed", "tone", "headline"),
    [
        ([True, True], "good", "All 2 gates passed."),
        ([True], "good", "The only gate passed."),
        ([True, None], "open", "No verdict: g1 could not be measured."),
        ([None, False], "bad", "Do not deploy this model: 1 of 2 gates failed (g1)."),
        ([], "open", "No verdict: no gates are defined."),
    ],
)
def test_gates_decide(passed: list[bool | None], tone: str, headline: str) -> None:
    gates = tuple(gate(f"g{i}", passed=each) for i, each in enumerate(passed))
    found = sentences.verdict(compute_findings(Evidence("t", gates=gates)))
    assert (found.tone, found.headline) == (tone, headline)


@pytest.mark.parametrize("status", ["running", "failed", "interrupted", "waiting"])
def test_an_unfinished_pipeline_has_no_good_verdict(status: str) -> None:
    stage = ReportedStage("ppo", "ppo", Path("ppo"), status)
    found = sentences.verdict(
        compute_findings(Evidence("t", (stage,), gates=(gate("g", passed=True),)))
    )
    assert found.tone == "open"
    assert "ppo" in found.headline


def test_the_verdict_names_regressions_and_synthetic_judges(findings: Findings) -> None:
    text = " ".join(sentences.verdict(findings).reasons)
    assert "5 of 10 metrics got significantly better and 3 significantly worse; " in text
    assert "for the other 2 the change is not clear" in text
    assert "harmless requests refused, sums: correct answers and perplexity" in text
    assert "Reward hacking: " in text
    assert sentences.SYNTHETIC_NOTE in text


def test_sentences_contain_the_numbers_of_their_plots(findings: Findings) -> None:
    assert "3.7 → 1.34" in sentences.curves(findings, "sft")
    assert "11.0 % of harmless requests are refused and 2.0 %" in sentences.refusals(findings)
    assert (
        "the reward that was optimized went 0.1 → 2, but the score of a held-out judge fell after "
        "a peak (0.2 → 0.55, best 0.734): reward hacking" in sentences.overoptimization(findings, 0)
    )
    assert "16 improvements and 4 regressions" in sentences.comparisons(findings)
    # 4 stages of 100 s; 4 · 120 · 480 tokens
    assert (
        sentences.costs(findings) == "4 training stages took 6 min 40 s and processed 230 k tokens."
    )
    assert (
        "Significantly worse after training: sums: correct answers and perplexity on general text."
        in sentences.alignment_tax(findings)
    )


def test_overfitting_and_unhealthy_metrics_are_mentioned() -> None:
    seen = [(0, 3.0), (5, 2.0), (10, 2.5)]
    records = [MetricsRecord(step, "held_out", 0.0, {"nll": value}) for step, value in seen]
    records.append(MetricsRecord(10, "train", 0.0, {"clip_fraction": 0.9}))
    stage = ReportedStage(
        "ppo", "ppo", Path("x"), "running", records=tuple(records), learns_from="prompts"
    )
    text = sentences.curves(compute_findings(Evidence("t", (stage,))), "ppo")
    assert "The held-out loss fell: 3 → 2.5" in text
    assert "It was lower earlier (2): later steps overfit." in text
    assert "Clip fraction: 0.9 at the end (healthy range: at most 0.3). The policy moves" in text


def test_a_stage_without_steps_is_not_praised(findings: Findings) -> None:
    bare = replace(findings, panels={"x": ()})
    assert sentences.curves(bare, "x") == "No step has been taken yet."
