"""Convert estimates to evaluation results; a value that is not finite becomes None."""

import math
from dataclasses import replace

from upbring.maths.statistics import Estimate
from upbring.maths.too_few import too_few_text
from upbring.runs.results import EvalResult


def to_result(
    estimate: Estimate,
    template: EvalResult,
) -> EvalResult:
    """Return `template` with the value, interval and count of an estimate."""
    bounds = tuple(
        v if math.isfinite(v) else None for v in (estimate.value, estimate.low, estimate.high)
    )
    note = template.note or ("" if bounds[0] is not None else "no data")
    return replace(
        template,
        value=bounds[0],
        low=bounds[1],
        high=bounds[2],
        count=estimate.count,
        note=note,
        too_few=estimate.too_few,
    )


def from_result(result: EvalResult) -> Estimate:
    """Return the estimate of a result; what is missing is NaN."""
    value, low, high = (
        math.nan if each is None else each for each in (result.value, result.low, result.high)
    )
    return Estimate(value, low, high, result.count, result.too_few)


def exact_estimate(value: float, count: int) -> Estimate:
    """Return an estimate without a confidence interval."""
    return Estimate(value, math.nan, math.nan, count)


def format_result(result: EvalResult) -> str:
    """Return value and interval as readable text.

    >>> format_result(EvalResult("facts", "sft", "accuracy", 0.713, 0.689, 0.736, count=9))
    '71.3 % (68.9 … 73.6)'
    >>> format_result(EvalResult("forgetting", "sft", "perplexity", 7.25, unit="perplexity"))
    '7.25'
    """
    if result.value is None:
        return "not measured" + (f": {result.note}" if result.note else "")
    interval = format_interval(result)
    return format_number(result) + (f" ({interval})" if interval else "")


def format_number(result: EvalResult) -> str:
    """Return the value with its unit; empty if there is none."""
    if result.value is None:
        return ""
    return _format_scaled(result.value, result.unit) + (" %" if result.unit == "share" else "")


def format_interval(result: EvalResult) -> str:
    """Return the interval, or that there are too few items for one; empty if there is none."""
    if result.too_few is not None:
        return too_few_text(result.too_few)
    if result.value is None or result.low is None or result.high is None:
        return ""
    return f"{_format_scaled(result.low, result.unit)} … {_format_scaled(result.high, result.unit)}"


def _format_scaled(value: float, unit: str) -> str:
    return f"{100 * value:.1f}" if unit == "share" else f"{value:.3g}"
