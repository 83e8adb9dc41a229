"""From an estimate to a number of the results file: what is not finite is null, and says why."""

import math
from dataclasses import replace

from upbring.maths.statistics import Estimate
from upbring.runs.results import Measured


def measured(
    made: Estimate,
    kind: Measured,
) -> Measured:
    """Return `kind`, which says what is measured about whom, with an estimate's numbers."""
    bounds = tuple(v if math.isfinite(v) else None for v in (made.value, made.low, made.high))
    note = kind.note or ("" if bounds[0] is not None else "nothing to measure it from")
    return replace(
        kind, value=bounds[0], low=bounds[1], high=bounds[2], count=made.count, note=note
    )


def exactly(value: float, count: int) -> Estimate:
    """Return a number that has no interval."""
    return Estimate(value, math.nan, math.nan, count)


def told(number: Measured) -> str:
    """Return value and interval for people.

    >>> told(Measured("facts", "sft", "accuracy", 0.713, 0.689, 0.736, count=9))
    '71.3 % (68.9 … 73.6)'
    >>> told(Measured("forgetting", "sft", "perplexity", 7.25, unit="perplexity"))
    '7.25'
    """
    if number.value is None:
        return "not measured" + (f": {number.note}" if number.note else "")
    scale = 100 if number.unit == "share" else 1
    form = ".1f" if number.unit == "share" else ".3g"
    text = f"{scale * number.value:{form}}" + (" %" if number.unit == "share" else "")
    if number.low is None or number.high is None:
        return text
    return f"{text} ({scale * number.low:{form}} … {scale * number.high:{form}})"
