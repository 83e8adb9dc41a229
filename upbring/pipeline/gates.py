"""Gates: conditions on evaluation results that a pipeline's models must meet.

    gates: {facts: ">= sft - 0.02", over_refusal: "<= 0.05", forgetting: "<= 3%"}

Other metrics are named as in the results, suite first: `forgetting/sums/accuracy`,
`custom/correct`. A gate compares the unfavorable end of the confidence interval, so that an
uncertain number does not pass. It is about the last evaluated model, unless its name contains
another (`dpo.facts`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from upbring import durable
from upbring.durable import JSON
from upbring.errors import format_value, nearest
from upbring.runs.results import EvalResult

# The metrics of gates, each as (suite, name) pairs in the order in which they are looked up.
METRICS: dict[str, tuple[tuple[str, str], ...]] = {
    "facts": (("facts", "accuracy"),),
    "instructions": (("instructions", "prompt_strict"), ("instructions", "accuracy")),
    "over_refusal": (("refusals", "over_refusal"),),
    "harmful_not_refused": (("refusals", "harmful_not_refused"),),
    "forgetting": (("forgetting", "perplexity_change"),),
    "perplexity": (("forgetting", "perplexity"),),
    "win_rate": (("preference", "win_rate"),),
    "canary_exposure": (("memorisation", "exposure"),),
    "extraction": (("memorisation", "extraction"),),
    "reward": (("preference", "reward"),),
}
SUITES = frozenset({"custom", *(suite for names in METRICS.values() for suite, _ in names)})
CONDITION_PATTERN = re.compile(
    r"(?P<sign><=|>=|<|>)\s*"
    r"(?:(?P<model>[A-Za-z][\w.-]*)\s*(?:(?P<plus>[+-])\s*(?P<off>[\d.]+)\s*(?P<off_share>%?))?"
    r"|(?P<number>-?[\d.]+(?:e-?\d+)?)\s*(?P<share>%?))\s*"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on one number of one model; `baseline` names a model that it is compared with."""

    name: str  # as in the recipe
    condition: str
    metric: str
    model: str
    operator: str
    limit: float
    baseline: str | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of a gate; `passed` is None if the number was not measured."""

    name: str
    condition: str
    model: str
    value: float | None
    low: float | None
    high: float | None
    passed: bool | None
    note: str = ""

    @property
    def summary(self) -> str:
        """The result in one line."""
        outcome = {True: "passed", False: "FAILED", None: "NOT MEASURED"}[self.passed]
        value = "" if self.value is None else f": {self.value:.4g}"
        bounds = "" if self.low is None else f" [{self.low:.4g}, {self.high:.4g}]"
        note = f" ({self.note})" if self.note else ""
        return f"gate {self.name} {self.condition}: {outcome}{value}{bounds} of {self.model}{note}"


def parse_gate(name: str, condition: str, models: Sequence[str]) -> Gate:
    """Return the gate of a name and a condition; raise `ValueError` if one is invalid."""
    model, _, metric = name.rpartition(".")
    suite, _, rest = metric.partition("/")
    if metric not in METRICS and not (suite in SUITES and rest):
        suggestion = nearest(metric, METRICS)
        hint = f"did you mean {suggestion}?" if suggestion else f"use one of {', '.join(METRICS)}"
        raise ValueError(f"unknown metric {format_value(metric)}; {hint}")
    match = CONDITION_PATTERN.fullmatch(condition.strip())
    if match is None:
        raise ValueError(
            f'{format_value(condition)} is not a condition; write ">= 0.8" or ">= sft - 0.02"'
        )
    baseline = match["model"]
    for each in filter(None, (model, baseline)):
        if each not in models:
            raise ValueError(f"{each} is not evaluated; use one of {', '.join(models)}")
    if baseline is None:
        limit = _parse_number(match["number"], match["share"])
    else:
        limit = _parse_number(match["off"] or "0", match["off_share"] or "")
        limit = -limit if match["plus"] == "-" else limit
    gated_model = model or (models[-1] if models else "")
    return Gate(name, condition.strip(), metric, gated_model, match["sign"], limit, baseline)


def _parse_number(text: str, percent_sign: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{format_value(text)} is not a number; write it as 0.05 or 5%") from None
    return value / 100 if percent_sign else value


def check_gate(gate: Gate, results: Sequence[EvalResult]) -> GateResult:
    """Return the result of a gate, compared at the unfavorable end of the interval."""
    result = _find_result(gate.metric, gate.model, results)
    if result is None or result.value is None:
        note = result.note if result is not None else "was not evaluated"
        return GateResult(gate.name, gate.condition, gate.model, None, None, None, None, note)
    limit = gate.limit
    note = ""
    if gate.baseline is not None:
        baseline_result = _find_result(gate.metric, gate.baseline, results)
        if baseline_result is None or baseline_result.value is None:
            note = f"it was not measured for {gate.baseline}"
            return GateResult(
                gate.name,
                gate.condition,
                gate.model,
                result.value,
                result.low,
                result.high,
                None,
                note,
            )
        limit += baseline_result.value
        note = f"{gate.baseline} has {baseline_result.value:.4g}"
    low = result.value if result.low is None else result.low
    high = result.value if result.high is None else result.high
    is_met = {
        ">=": low >= limit,
        ">": low > limit,
        "<=": high <= limit,
        "<": high < limit,
    }[gate.operator]
    return GateResult(
        gate.name,
        gate.condition,
        gate.model,
        result.value,
        result.low,
        result.high,
        is_met and math.isfinite(result.value),
        note,
    )


def _find_result(metric: str, model: str, results: Sequence[EvalResult]) -> EvalResult | None:
    first, _, rest = metric.partition("/")
    for suite, name in METRICS.get(metric, ((first, rest),)):
        for each in results:
            if (each.suite, each.name, each.model) == (suite, name, model):
                return each
    return None


def write_gate_results(path: Path, gate_results: Sequence[GateResult]) -> None:
    """Save the results of the gates."""
    rows: list[JSON] = [dict(asdict(each)) for each in gate_results]
    durable.write_json(path, rows)
