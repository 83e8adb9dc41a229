"""Convert estimates to evaluation results; a value that is not finite becomes None."""

import math
from dataclasses import replace

from upbring.maths.statistics import Estimate
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
        template, value=bounds[0], low=bounds[1], high=bounds[2], count=estimate.count, note=note
    )


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
    scale = 100 if result.unit == "share" else 1
    format_spec = ".1f" if result.unit == "share" else ".3g"
    text = f"{scale * result.value:{format_spec}}" + (" %" if result.unit == "share" else "")
    if result.low is None or result.high is None:
        return text
    return f"{text} ({scale * result.low:{format_spec}} … {scale * result.high:{format_spec}})"
