"""The one reduction: Σ over terms of coefficient · Σ(loss · weight) / Σ weight.

Each term's denominator is taken over all micro-batches and processes of the step, so that cutting
a step into parts, whatever their sizes, gives the same gradient and the same metrics.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from upbring.data.trees.batch import Batch
from upbring.train import processes
from upbring.train.algorithm import Algorithm
from upbring.train.lanes import side_by_side


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one micro-batch adds to a step."""

    gradient: Sequence[Tensor | None]  # of what learns; empty where it was added in place
    sums: Mapping[str, Tensor]  # of each term [2] float64: Σ loss · weight, Σ weight
    coefficients: Mapping[str, float]


def accumulate(algorithm: Algorithm, batches: Sequence[Batch]) -> dict[str, float]:
    """Add a step's gradient to the parameters' and return its metrics, `loss` among them.

    Of rows that are computed at the same time, each has a gradient of its own; they are added in
    the order of the rows.
    """
    totals = _totals(algorithm, batches)
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64))
    coefficients: dict[str, float] = {}
    learned = [p for group in algorithm.parameters() for p in group.parameters.values()]
    for wave in _waves(batches):
        moved = [p for p in learned if p.requires_grad] if len(wave) > 1 else []
        work = partial(_part, algorithm, totals, moved)
        for part in side_by_side(work, wave, len(wave)):
            _add(moved, part.gradient)
            for name, both in part.sums.items():
                sums[name] = sums[name] + both
            coefficients |= part.coefficients
    processes.sum_gradients(learned)
    return _metrics(_summed(sums), coefficients, totals)


def _waves(batches: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
    """Yield the rows that are computed at the same time."""
    start = 0
    while start < len(batches):
        wave = batches[start : start + batches[start].lanes]
        start += len(wave)
        yield wave


def _part(
    algorithm: Algorithm, totals: Mapping[str, float], moved: Sequence[nn.Parameter], batch: Batch
) -> Part:
    """Return what a batch adds; its gradient in place, unless what moves is named."""
    objective = torch.zeros(())
    sums: dict[str, Tensor] = {}
    coefficients: dict[str, float] = {}
    for name, term in algorithm.loss(batch).items():
        weighed = (term.loss * term.weight).sum()
        if term.coefficient != 0:
            objective = objective.to(weighed) + term.coefficient * weighed / totals[name]
        both = torch.stack([weighed.detach().double(), term.weight.detach().double().sum()])
        sums[name], coefficients[name] = both.cpu(), term.coefficient
    if moved:
        return Part(torch.autograd.grad(objective, moved, allow_unused=True), sums, coefficients)
    torch.autograd.backward(objective)
    return Part((), sums, coefficients)


def _add(parameters: Sequence[nn.Parameter], gradient: Sequence[Tensor | None]) -> None:
    """Add a gradient to the parameters'."""
    for parameter, own in zip(parameters, gradient, strict=True):
        if own is not None:
            parameter.grad = own if parameter.grad is None else parameter.grad.add_(own)


def _totals(algorithm: Algorithm, batches: Sequence[Batch]) -> dict[str, float]:
    """Return each term's denominator over the whole step."""
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64))
    for batch in batches:
        for name, weight in algorithm.weights(batch).items():
            sums[name] = sums[name] + weight.double().sum().cpu()
    totals = {name: float(value) for name, value in _summed(sums).items()}
    for name, value in totals.items():
        assert value > 0, f"term {name!r} has no weight in this step"
    return totals


def _summed(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the sums over all processes; one that had nothing to do says zero."""
    names = [name for name in processes.told("\n".join(sums)).split("\n") if name]
    if not names:
        return {}
    rows = processes.total(torch.stack([sums[name] for name in names]))
    return dict(zip(names, rows, strict=True))


def _metrics(
    sums: dict[str, Tensor], coefficients: dict[str, float], totals: dict[str, float]
) -> dict[str, float]:
    means = {name: float(value[0] / value[1]) for name, value in sums.items() if value[1] > 0}
    for name, announced in totals.items():
        found = float(sums[name][1])
        assert abs(found - announced) <= 1e-6 * announced, (
            f"term {name!r} announced a weight of {announced} and came with {found}"
        )
    loss = sum(c * means[n] for n, c in coefficients.items() if c != 0 and n in means)
    return {"loss": loss, **means}


def clip(parameters: Sequence[nn.Parameter], limit: float) -> float:
    """Scale the gradient down to norm `limit` at most (0: never) and return its norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if limit > 0:
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return float(norm)
