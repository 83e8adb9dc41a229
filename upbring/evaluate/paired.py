"""Results of several models on the same items, with paired changes from the first model."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from upbring.evaluate.to_results import to_result
from upbring.maths import statistics
from upbring.maths.statistics import Estimate, FloatArray
from upbring.runs.results import EvalResult

CHANGE_SUFFIX = "_change"


def share_results(template: EvalResult, values: Mapping[str, FloatArray]) -> Iterator[EvalResult]:
    """Yield the share of each model, from values 0 … 1 by item `[n]`, and the paired changes."""
    for model, model_values in values.items():
        estimate = statistics.proportion(float(model_values.sum()), len(model_values))
        yield to_result(estimate, replace(template, model=model))
    for model, estimate in _differences_from_first(values, statistics.proportion_difference):
        yield change_result(estimate, replace(template, model=model), next(iter(values)))


def mean_results(
    template: EvalResult, values: Mapping[str, FloatArray], *, seed: int = 0
) -> Iterator[EvalResult]:
    """Yield the mean of each model, from values by item `[n]`, and the paired changes."""
    for model, model_values in values.items():
        yield to_result(statistics.mean(model_values, seed=seed), replace(template, model=model))
    differences = _differences_from_first(
        values, lambda a, b: statistics.paired_difference(a, b, seed=seed)
    )
    for model, estimate in differences:
        yield change_result(estimate, replace(template, model=model), next(iter(values)))


def change_result(estimate: Estimate, template: EvalResult, first: str) -> EvalResult:
    """Return a difference from the first model as a result named `…_change`."""
    return to_result(
        estimate, replace(template, name=f"{template.name}{CHANGE_SUFFIX}", against=first)
    )


def _differences_from_first(
    values: Mapping[str, FloatArray],
    compute_difference: Callable[[FloatArray, FloatArray], Estimate],
) -> Iterator[tuple[str, Estimate]]:
    first, *others = values or [""]
    for model in others:
        yield model, compute_difference(values[model], values[first])
