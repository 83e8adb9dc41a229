"""Gates: conditions on evaluation results that a pipeline's models must meet.

    gates: {facts: ">= sft - 0.02", over_refusal: "<= 0.05", forgetting: "<= 3%"}

Other metrics are named as in the results, suite first: `forgetting/sums/accuracy`,
`custom/correct`. A gate compares the unfavorable end of the confidence interval, so that an
uncertain number does not pass. It is about the last evaluated model, unless its name contains
another (`dpo.facts`). A comparison with a baseline is paired: its interval is that of the
difference on the same items. A number that an unfit judge gave, too few items, or prompts that a
model was trained on, neither passes nor fails a gate: it is not measured.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import neg
from pathlib import Path

from upbring import durable
from upbring.durable import JSON
from upbring.errors import format_value, nearest
from upbring.maths.too_few import MIN_ITEMS, too_few_text
from upbring.runs.results import CHANGE_SUFFIX, EvalResult, contamination_note

# The metrics of gates, each as (suite, name) pairs in the order in which they are looked up.
METRICS: dict[str, tuple[tuple[str, str], ...]] = {
    "facts": (("facts", "accuracy"),),
    "instructions": (("instructions", "prompt_strict"), ("instructions", "accuracy")),
    "over_refusal": (("refusals", "over_refusal"),),
    "harmful_not_refused": (("refusals", "harmful_not_refused"),),
    "attack_success": (("redteam", "attack_success"),),
    "attack_success_at_8": (("redteam", "attack_success_at_8"),),
    "attacked_over_refusal": (("redteam", "over_refusal"),),
    "forgetting": (("forgetting", "perplexity_change"),),
    "perplexity": (("forgetting", "perplexity"),),
    "win_rate": (("preference", "win_rate"),),
    "canary_exposure": (("memorisation", "exposure"),),
    "extraction": (("memorisation", "extraction"),),
    "reward": (("preference", "reward"),),
    "ended": (("preference", "ended"), ("instructions", "ended"), ("refusals", "ended")),
}
MAX_NAMES = 12  # shown in an error
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
    line: int = 0  # in the recipe


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


def find_unmeasured(gate: Gate, results: Sequence[EvalResult]) -> str | None:
    """Return why a gate's number will not be measured, given what the evaluation will give."""
    for model in filter(None, (gate.model, gate.baseline)):
        result = find_metric(gate.metric, model, results)
        if result is None or result.value is None:
            names = sorted({f"{each.suite}/{each.name}" for each in results if each.model == model})
            hint = f"the evaluation gives {', '.join(names[:MAX_NAMES])}"
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            return (
                f"nothing measures {gate.metric} of {model} with these suites, data and judge; "
                f"{hint}{more}"
            )
        if result.too_few is not None:
            return (
                f"{gate.metric} of {model} has {too_few_text(result.too_few)}; give "
                f"{MIN_ITEMS} rows or more for it"
            )
    return None


def find_unrequested(gate: Gate, suites: Sequence[str]) -> str | None:
    """Return why a gate's number will not be measured, given the requested suites."""
    needed = sorted({suite for suite, _ in METRICS.get(gate.metric, ())}) or [
        gate.metric.partition("/")[0]
    ]
    if not suites or set(needed) & set(suites):
        return None
    return f"the suite {needed[0]} is not requested; add it to `suite:`, or remove the gate"


def check_gate(gate: Gate, results: Sequence[EvalResult]) -> GateResult:
    """Return the result of a gate, compared at the unfavorable end of the interval."""
    result = find_metric(gate.metric, gate.model, results)
    if result is None or result.value is None:
        note = result.note if result is not None else "was not evaluated"
        return _make_result(gate, result, passed=None, note=note)
    if result.judge is not None and not result.judge.is_fit:
        return _make_result(gate, result, passed=None, note=f"no evidence: {result.judge.text}")
    for model in filter(None, (gate.model, gate.baseline)):
        if seen := contamination_note(model, result.suite, results):
            note = f"no evidence: {seen}; remove them from the evaluation data"
            return _make_result(gate, result, passed=None, note=note)
    if gate.baseline is None:
        margin: Margin | None = Margin(result.value, result.low, result.high, result.too_few)
        note = f"against {result.against}" if result.against else ""
    else:
        margin, note = _compare_with_baseline(gate, gate.baseline, result, results)
    if margin is not None and margin.too_few is not None:
        note = "; ".join(filter(None, [note, too_few_text(margin.too_few)]))
        margin = None
    passed = None if margin is None else _is_met(gate, margin)
    judge_note = result.judge.text if result.judge is not None else ""
    return _make_result(
        gate, result, passed=passed, note="; ".join(filter(None, [note, judge_note]))
    )


@dataclass(frozen=True, slots=True)
class Margin:
    """What a gate compares with its limit: a number, or its difference from a baseline."""

    value: float
    low: float | None
    high: float | None
    too_few: int | None = None

    def map(self, function: Callable[[float], float]) -> "Margin":
        """Return the margin of a monotonic function of the value."""
        ends = [None if end is None else function(end) for end in (self.low, self.high)]
        low, high = ends if None in ends else sorted(end for end in ends if end is not None)
        return Margin(function(self.value), low, high, self.too_few)


def _compare_with_baseline(
    gate: Gate, baseline: str, result: EvalResult, results: Sequence[EvalResult]
) -> tuple[Margin | None, str]:
    """Return the difference from the baseline: paired by item, else of the two intervals."""
    other = find_metric(gate.metric, baseline, results)
    if other is None or other.value is None or result.value is None:
        return None, f"it was not measured for {baseline}"
    note = f"{baseline} has {other.value:.4g}"
    paired = _find_change(result, baseline, other.value, results)
    if paired is not None:
        interval = "" if paired.low is None else f" [{paired.low:+.4g}, {paired.high:+.4g}]"
        return paired, f"{note}; paired difference {paired.value:+.4g}{interval}"
    too_few = result.too_few if result.too_few is not None else other.too_few
    difference = result.value - other.value
    if None in {result.low, result.high, other.low, other.high}:
        return Margin(difference, None, None, too_few), f"{note}; without an interval"
    assert result.low is not None and result.high is not None  # noqa: PT018 -- as above
    assert other.low is not None and other.high is not None  # noqa: PT018 -- as above
    low, high = result.low - other.high, result.high - other.low
    return Margin(difference, low, high, too_few), f"{note}; not paired, of the two intervals"


def _find_change(
    result: EvalResult, baseline: str, level: float, results: Sequence[EvalResult]
) -> Margin | None:
    """Return the paired difference of a model from another one, evaluated before or after it.

    A relative change is multiplied by the baseline's own value, its `level`.
    """
    name = f"{result.name}{CHANGE_SUFFIX}"
    for each in results:
        if (each.suite, each.name) != (result.suite, name) or each.value is None:
            continue
        change = Margin(each.value, each.low, each.high, each.too_few)
        is_relative = each.unit != result.unit  # as that of the perplexity
        if (each.model, each.against) == (result.model, baseline):
            return change.map(lambda c: c * level) if is_relative else change
        if (each.model, each.against) == (baseline, result.model):
            return change.map((lambda c: level / (1 + c) - level) if is_relative else neg)
    return None


def _is_met(gate: Gate, margin: Margin) -> bool:
    low = margin.value if margin.low is None else margin.low
    high = margin.value if margin.high is None else margin.high
    return (
        math.isfinite(margin.value)
        and {
            ">=": low >= gate.limit,
            ">": low > gate.limit,
            "<=": high <= gate.limit,
            "<": high < gate.limit,
        }[gate.operator]
    )


def _make_result(
    gate: Gate, result: EvalResult | None, *, passed: bool | None, note: str
) -> GateResult:
    value, low, high = (
        (None, None, None) if result is None else (result.value, result.low, result.high)
    )
    return GateResult(gate.name, gate.condition, gate.model, value, low, high, passed, note)


def find_metric(metric: str, model: str, results: Sequence[EvalResult]) -> EvalResult | None:
    """Return the result of a model that a gate's metric names, if there is one."""
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
