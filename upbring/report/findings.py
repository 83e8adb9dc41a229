"""All that the report says, computed once from the evidence; `report.json` is this, as numbers.

Nothing here depends on the clock or on the order in which files were written.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upbring.durable import JSON
from upbring.report import scorecard
from upbring.report.costs import Cost, costs
from upbring.report.curves import Panel, Pursuit, panels, pursuits
from upbring.report.responses import Pair, Side, pairs, scores, sides
from upbring.report.run_data import Evidence
from upbring.report.scorecard import Row
from upbring.runs.contract import compare
from upbring.runs.environment import redacted
from upbring.runs.results import Measured

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = 1
MOST_PAIRS = 6


@dataclass(frozen=True, slots=True)
class Findings:
    """The evidence, and what follows from it."""

    evidence: Evidence
    scorecard: tuple[Row, ...]
    wins: tuple[Measured, ...]
    others: tuple[Measured, ...]
    panels: Mapping[str, tuple[Panel, ...]]  # by stage
    scores: Mapping[str, tuple[float, ...]]  # by model
    pursuits: tuple[Pursuit, ...]
    tax: tuple[Row, ...]
    drift: tuple[Measured, ...]
    refusals: tuple[Measured, ...]
    sides: tuple[Side, ...]
    answers: Mapping[str, tuple[Pair, ...]]  # by stage, to fixed prompts
    costs: tuple[Cost, ...]
    quarrels: tuple[str, ...]  # how the contracts of two stages differ

    @property
    def is_synthetic(self) -> bool:
        """Whether any number was judged by an invented world or simulated people."""
        return any(each.is_synthetic for each in self.evidence.results)


def find(evidence: Evidence) -> Findings:
    """Return what follows from the evidence."""
    rows = tuple(scorecard.scorecard(evidence))
    return Findings(
        evidence,
        rows,
        tuple(scorecard.wins(evidence)),
        tuple(scorecard.others(evidence, rows)),
        {stage.name: tuple(panels(stage)) for stage in evidence.runs},
        {model: tuple(own) for model, own in scores(evidence).items()},
        tuple(pursuits(evidence)),
        tuple(scorecard.tax(rows)),
        tuple(scorecard.drift(evidence)),
        tuple(scorecard.refusals(evidence)),
        tuple(sides(evidence)),
        {s.name: own for s in evidence.runs if (own := tuple(pairs(s)[:MOST_PAIRS]))},
        tuple(costs(evidence)),
        tuple(_quarrels(evidence)),
    )


def _quarrels(evidence: Evidence) -> list[str]:
    """Return where a stage speaks otherwise than the one before it."""
    known = [(stage.name, stage.contract) for stage in evidence.runs if stage.contract is not None]
    found = []
    for (name, mine), (other, theirs) in zip(known[1:], known, strict=False):
        if theirs.kind != "base":  # a base was taught no template yet
            found += compare(mine, theirs, names=(name, other))
    return found


def as_json(findings: Findings, *, verdict: JSON, advice: Sequence[str]) -> JSON:
    """Return every number of the report, for programs; what is not finite is null."""
    evidence = findings.evidence
    stages: list[JSON] = []
    for stage in evidence.stages:
        metrics: list[JSON] = [
            {"step": record.step, "kind": record.kind, **record.values} for record in stage.records
        ]
        contract = None if stage.contract is None else _plain(stage.contract)
        stages.append(
            {
                "name": stage.name,
                "verb": stage.verb,
                "status": stage.status,
                "began": stage.began,
                "finished": stage.finished,
                "steps": stage.steps,
                "inputs": dict(stage.inputs),
                "files": _plain(stage.files),
                "contract": contract,
                "metrics": _plain(metrics),
            }
        )
    return {
        "format": FORMAT,
        "title": evidence.title,
        "verdict": verdict,
        "is_synthetic": findings.is_synthetic,
        "models": list(evidence.models),
        "gates": _plain(evidence.gates),
        "stages": stages,
        "results": _plain(evidence.results),
        "changes": [
            {"suite": row.suite, "name": row.name, "change": row.change}
            for row in findings.scorecard
        ],
        "scores": _plain(findings.scores),
        "pursuits": _plain(findings.pursuits),
        "sides": [{**_fields(side), "gain": side.gain} for side in findings.sides],
        "answers": _plain(findings.answers),
        "costs": [
            {**_fields(cost), "tokens_a_second": cost.tokens_a_second, "share": cost.share}
            for cost in findings.costs
        ],
        "contract_differences": list(findings.quarrels),
        "advice": list(advice),
        "faults": list(evidence.faults),
    }


def _fields(value: "DataclassInstance") -> dict[str, JSON]:
    return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}


def _plain(value: object) -> JSON:
    """Return a value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return redacted(str(value))
    assert value is None or isinstance(value, bool | int | str), f"{value!r} has no place in JSON"
    return value
