import json
from dataclasses import replace

from tests.report.made import STEPS, contract, results, values
from upbring.report.build import report_json
from upbring.report.findings import Findings, compute_findings
from upbring.report.run_data import Evidence


def test_every_number_of_the_files_is_in_the_json(findings: Findings) -> None:
    report = json.loads(report_json(findings))
    kept = {(r["suite"], r["model"], r["name"], r["against"]): r for r in report["results"]}
    for each in results():
        found = kept[each.suite, each.model, each.name, each.against]
        assert (found["value"], found["low"], found["high"]) == (each.value, each.low, each.high)
    sft = next(stage for stage in report["stages"] if stage["name"] == "sft")
    steps = [record for record in sft["metrics"] if record["kind"] == "train"]
    assert len(steps) == STEPS
    assert steps[9]["loss"] == values("sft", 10)["loss"]
    assert report["gates"][1]["value"] == 0.11
    assert report["verdict"]["tone"] == "bad"
    assert report["is_synthetic"] is True
    assert len(report["sides"]) == 20


def test_what_is_not_finite_is_null(evidence: Evidence) -> None:
    stage = evidence.stages[0]
    wild = replace(stage.records[0], values={"loss": float("nan"), "x": float("inf")})
    odd = compute_findings(replace(evidence, stages=(replace(stage, records=(wild,)),)))
    record = json.loads(report_json(odd))["stages"][0]["metrics"][0]
    assert record["loss"] is None
    assert record["x"] is None


def test_different_chat_templates_of_stages_are_reported(evidence: Evidence) -> None:
    assert compute_findings(evidence).contract_differences == ()
    first, second, *_ = evidence.stages
    other = replace(second, contract=contract("policy", "dpo", template="{{ other }}"))
    found = compute_findings(replace(evidence, stages=(first, other)))
    assert found.contract_differences[0].startswith("template: reward has")


def test_empty_evidence_gives_empty_findings() -> None:
    found = compute_findings(Evidence("t"))
    assert json.loads(report_json(found))["results"] == []
    assert not found.is_synthetic
