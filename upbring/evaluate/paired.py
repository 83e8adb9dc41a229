"""Several subjects measured on the same items: each one's number, and its change from the first."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from upbring.evaluate.to_results import measured
from upbring.maths import statistics
from upbring.maths.statistics import Estimate, Numbers
from upbring.runs.results import Measured

CHANGE = "_change"


def shares(kind: Measured, values: Mapping[str, Numbers]) -> Iterator[Measured]:
    """Yield the share of each subject, of values 0 … 1 by item `[n]`, and the paired changes."""
    for model, own in values.items():
        made = statistics.share(float(own.sum()), len(own))
        yield measured(made, replace(kind, model=model))
    for model, made in _against_first(values, statistics.share_difference):
        yield change(made, replace(kind, model=model), next(iter(values)))


def means(kind: Measured, values: Mapping[str, Numbers], *, seed: int = 0) -> Iterator[Measured]:
    """Yield the mean of each subject, of values by item `[n]`, and the paired changes."""
    for model, own in values.items():
        yield measured(statistics.mean(own, seed=seed), replace(kind, model=model))
    pairs = _against_first(values, lambda a, b: statistics.difference(a, b, seed=seed))
    for model, made in pairs:
        yield change(made, replace(kind, model=model), next(iter(values)))


def change(made: Estimate, kind: Measured, first: str) -> Measured:
    """Return a difference to the first subject as a number of its own."""
    return measured(made, replace(kind, name=f"{kind.name}{CHANGE}", against=first))


def _against_first(
    values: Mapping[str, Numbers], difference: Callable[[Numbers, Numbers], Estimate]
) -> Iterator[tuple[str, Estimate]]:
    first, *others = values or [""]
    for model in others:
        yield model, difference(values[model], values[first])
