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
        ([True], "good", "The 1 gate passed."),
        ([True, None], "open", "Not decided: g1 could not be measured."),
        ([None, False], "bad", "Do not use it yet: 1 gate of 2 failed: g1."),
        ([], "open", "No verdict: nobody said what must hold."),
    ],
)
def test_gates_decide(passed: list[bool | None], tone: str, headline: str) -> None:
    gates = tuple(gate(f"g{i}", passed=each) for i, each in enumerate(passed))
    found = sentences.verdict(compute_findings(Evidence("t", gates=gates)))
    assert (found.tone, found.headline) == (tone, headline)


@pytest.mark.parametrize("status", ["running", "failed", "interrupted", "waiting"])
def test_what_is_not_finished_is_not_judged_good(status: str) -> None:
    stage = ReportedStage("ppo", "ppo", Path("ppo"), status)
    found = sentences.verdict(
        compute_findings(Evidence("t", (stage,), gates=(gate("g", passed=True),)))
    )
    assert found.tone == "open"
    assert "ppo" in found.headline


def test_the_verdict_says_what_became_worse_and_who_judged(findings: Findings) -> None:
    told = " ".join(sentences.verdict(findings).reasons)
    assert "5 became better beyond chance and 3 worse; the other 2 cannot be called" in told
    assert "innocent requests refused, sums: right answers and perplexity" in told
    assert "the reward was gamed" in told
    assert sentences.SYNTHETIC_NOTE in told


def test_sentences_are_made_of_the_numbers_beside_them(findings: Findings) -> None:
    assert "3.7 → 1.34" in sentences.curves(findings, "sft")
    assert "11.0 % of innocent requests are turned away and 2.0 %" in sentences.refusals(findings)
    assert "its reward went 0.1 → 2, but a judge" in sentences.overoptimization(findings, 0)
    assert "16 answers that became better and 4 answers" in sentences.comparisons(findings)
    # 4 stages of 100 s; 4 · 120 · 480 tokens
    assert sentences.costs(findings) == "4 stages took 6 min 40 s and computed 230 k tokens."
    assert (
        "sums: right answers and perplexity of general text became worse"
        in sentences.alignment_tax(findings)
    )


def test_overfitting_and_sick_numbers_are_spoken_of() -> None:
    seen = [(0, 3.0), (5, 2.0), (10, 2.5)]
    records = [MetricsRecord(step, "held_out", 0.0, {"nll": value}) for step, value in seen]
    records.append(MetricsRecord(10, "train", 0.0, {"clip_fraction": 0.9}))
    stage = ReportedStage("ppo", "ppo", Path("x"), "running", records=tuple(records))
    told = sentences.curves(compute_findings(Evidence("t", (stage,))), "ppo")
    assert "fell: 3 → 2.5" in told
    assert "It was lower on the way (2): later steps overfit." in told
    assert "clip fraction ended at 0.9; healthy is 0 to 0.3. Most updates are cut" in told


def test_a_stage_without_steps_is_not_spoken_well_of(findings: Findings) -> None:
    bare = replace(findings, panels={"x": ()})
    assert sentences.curves(bare, "x") == "No step has been taken yet."
