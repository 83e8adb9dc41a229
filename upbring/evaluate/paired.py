"""Results of several models on the same items, with paired changes from every earlier model."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from upbring.evaluate.to_results import to_result
from upbring.maths import statistics
from upbring.maths.statistics import Estimate, FloatArray
from upbring.runs.results import CHANGE_SUFFIX, EvalResult


def share_results(template: EvalResult, values: Mapping[str, FloatArray]) -> Iterator[EvalResult]:
    """Yield the share of each model, from values 0 … 1 by item `[n]`, and the paired changes."""
    for model, model_values in values.items():
        yield to_result(statistics.share(model_values), replace(template, model=model))
    yield from _change_results(template, values, statistics.proportion_difference)


def mean_results(template: EvalResult, values: Mapping[str, FloatArray]) -> Iterator[EvalResult]:
    """Yield the mean of each model, from values by item `[n]`, and the paired changes."""
    for model, model_values in values.items():
        yield to_result(statistics.mean(model_values), replace(template, model=model))
    yield from _change_results(template, values, statistics.paired_difference)


def change_result(estimate: Estimate, template: EvalResult, earlier: str) -> EvalResult:
    """Return a difference from an earlier model as a result named `…_change`."""
    return to_result(
        estimate, replace(template, name=f"{template.name}{CHANGE_SUFFIX}", against=earlier)
    )


def _change_results(
    template: EvalResult,
    values: Mapping[str, FloatArray],
    compute_difference: Callable[[FloatArray, FloatArray], Estimate],
) -> Iterator[EvalResult]:
    """Yield the change of each model from each earlier one, where both judged the same items."""
    for earlier, later in itertools.combinations(values, 2):
        if len(values[earlier]) == len(values[later]):
            estimate = compute_difference(values[later], values[earlier])
            yield change_result(estimate, replace(template, model=later), earlier)
