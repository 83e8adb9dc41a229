"""Everything the report shows, computed once from the evidence and exported as `report.json`.

The result depends only on the file contents, not on the time or the order of writing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upbring.durable import JSON
from upbring.report import scorecard
from upbring.report.costs import Cost, costs
from upbring.report.curves import OveroptimizationCurve, Panel, overoptimization_curves, panels
from upbring.report.responses import (
    FixedPromptResponses,
    ResponseComparison,
    fixed_prompt_responses,
    judge_scores,
    largest_differences,
)
from upbring.report.run_data import Evidence
from upbring.report.scorecard import ScorecardRow
from upbring.runs.contract import describe_differences
from upbring.runs.environment import redact_home
from upbring.runs.results import EvalResult, JudgeQuality, list_judges

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = 1
MAX_FIXED_PROMPTS = 6


@dataclass(frozen=True, slots=True)
class Findings:
    """The evidence and everything computed from it."""

    evidence: Evidence
    scorecard: tuple[ScorecardRow, ...]
    win_rates: tuple[EvalResult, ...]
    other_results: tuple[EvalResult, ...]
    panels: Mapping[str, tuple[Panel, ...]]  # by stage
    scores: Mapping[str, tuple[float, ...]]  # by model
    overoptimization: tuple[OveroptimizationCurve, ...]
    alignment_tax: tuple[ScorecardRow, ...]
    drift: tuple[EvalResult, ...]
    refusals: tuple[EvalResult, ...]
    comparisons: tuple[ResponseComparison, ...]
    fixed_prompts: Mapping[str, tuple[FixedPromptResponses, ...]]  # by stage
    costs: tuple[Cost, ...]
    contract_differences: tuple[str, ...]  # between consecutive stages
    judges: tuple[JudgeQuality, ...]  # of the results
    reward_models: tuple[JudgeQuality, ...]  # of the stages

    @property
    def is_synthetic(self) -> bool:
        """Whether any result was judged by simulated annotators or by the toy world."""
        return any(each.is_synthetic for each in self.evidence.results)


def compute_findings(evidence: Evidence) -> Findings:
    """Return everything the report shows about the evidence."""
    rows = tuple(scorecard.scorecard(evidence))
    return Findings(
        evidence,
        rows,
        tuple(scorecard.win_rates(evidence)),
        tuple(scorecard.other_results(evidence, rows)),
        {stage.name: tuple(panels(stage)) for stage in evidence.training_stages},
        {model: tuple(own) for model, own in judge_scores(evidence).items()},
        tuple(overoptimization_curves(evidence)),
        tuple(scorecard.alignment_tax(rows)),
        tuple(scorecard.drift(evidence)),
        tuple(scorecard.refusals(evidence)),
        tuple(largest_differences(evidence)),
        {
            s.name: own
            for s in evidence.training_stages
            if (own := tuple(fixed_prompt_responses(s)[:MAX_FIXED_PROMPTS]))
        },
        tuple(costs(evidence)),
        tuple(_contract_differences(evidence)),
        tuple(list_judges(evidence.results)),
        tuple(scorecard.reward_models(evidence)),
    )


def _contract_differences(evidence: Evidence) -> list[str]:
    """Return where a stage's contract differs from that of the stage before it."""
    contracts = [
        (stage.name, stage.contract)
        for stage in evidence.training_stages
        if stage.contract is not None
    ]
    differences = []
    for (name, contract), (previous_name, previous_contract) in zip(
        contracts[1:], contracts, strict=False
    ):
        if previous_contract.kind != "base":  # a base model has no chat template
            differences += describe_differences(
                contract, previous_contract, names=(name, previous_name)
            )
    return differences


def as_json(findings: Findings, *, verdict: JSON, advice: Sequence[str]) -> JSON:
    """Return the contents of `report.json`; NaN and infinity become null."""
    evidence = findings.evidence
    stages: list[JSON] = []
    for stage in evidence.stages:
        metrics: list[JSON] = [
            {"step": record.step, "kind": record.kind, **record.values} for record in stage.records
        ]
        contract = None if stage.contract is None else _to_json(stage.contract)
        stages.append(
            {
                "name": stage.name,
                "method": stage.command,
                "status": stage.status,
                "started_at": stage.started_at,
                "finished_at": stage.finished_at,
                "steps": stage.planned_steps,
                "inputs": dict(stage.inputs),
                "files": _to_json(stage.files),
                "contract": contract,
                "metrics": _to_json(metrics),
            }
        )
    return {
        "format": FORMAT,
        "title": evidence.title,
        "verdict": verdict,
        "is_synthetic": findings.is_synthetic,
        "models": list(evidence.models),
        "gates": _to_json(evidence.gates),
        "judges": _to_json(findings.judges),
        "reward_models": _to_json(findings.reward_models),
        "stages": stages,
        "results": _to_json(evidence.results),
        "changes": [
            {"suite": row.suite, "name": row.name, "change": row.change}
            for row in findings.scorecard
        ],
        "scores": _to_json(findings.scores),
        "pursuits": _to_json(findings.overoptimization),
        "sides": [{**_fields(side), "gain": side.gain} for side in findings.comparisons],
        "answers": _to_json(findings.fixed_prompts),
        "costs": [
            {
                **_fields(cost),
                "tokens_a_second": cost.tokens_per_second,
                "share": cost.trainable_share,
            }
            for cost in findings.costs
        ],
        "contract_differences": list(findings.contract_differences),
        "advice": list(advice),
        "faults": list(evidence.read_errors),
    }


def _fields(value: "DataclassInstance") -> dict[str, JSON]:
    return {each.name: _to_json(getattr(value, each.name)) for each in fields(value)}


def _to_json(value: object) -> JSON:
    """Convert a value to JSON types."""
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): _to_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return redact_home(str(value))
    assert value is None or isinstance(value, bool | int | str), f"{value!r} is not a JSON value"
    return value
