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
from upbring.train.lanes import map_in_lanes


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatchResult:
    """What one micro-batch adds to a step."""

    gradient: Sequence[Tensor | None]  # of what learns; empty where it was added in place
    sums: Mapping[str, Tensor]  # of each term [2] float64: Σ loss · weight, Σ weight
    coefficients: Mapping[str, float]


def accumulate(algorithm: Algorithm, batches: Sequence[Batch]) -> dict[str, float]:
    """Add a step's gradient to the parameters' and return its metrics, `loss` among them.

    Of rows that are computed at the same time, each has a gradient of its own; they are added in
    the order of the rows.
    """
    denominators = _denominators(algorithm, batches)
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64))
    coefficients: dict[str, float] = {}
    trainable = [p for group in algorithm.parameters() for p in group.parameters.values()]
    for lane_batches in _split_by_lanes(batches):
        lane_parameters = [p for p in trainable if p.requires_grad] if len(lane_batches) > 1 else []
        run_micro_batch = partial(_run_micro_batch, algorithm, denominators, lane_parameters)
        for result in map_in_lanes(run_micro_batch, lane_batches, len(lane_batches)):
            _add_gradient(lane_parameters, result.gradient)
            for name, loss_and_weight in result.sums.items():
                sums[name] = sums[name] + loss_and_weight
            coefficients |= result.coefficients
    processes.sum_gradients(trainable)
    return _metrics(_all_reduce_sums(sums), coefficients, denominators)


def _split_by_lanes(batches: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
    """Yield the rows that are computed at the same time."""
    start = 0
    while start < len(batches):
        lane_batches = batches[start : start + batches[start].lanes]
        start += len(lane_batches)
        yield lane_batches


def _run_micro_batch(
    algorithm: Algorithm,
    denominators: Mapping[str, float],
    lane_parameters: Sequence[nn.Parameter],
    batch: Batch,
) -> MicroBatchResult:
    """Return what a batch adds; its gradient in place, unless what moves is named."""
    objective = torch.zeros(())
    sums: dict[str, Tensor] = {}
    coefficients: dict[str, float] = {}
    for name, term in algorithm.loss(batch).items():
        weighted_loss = (term.loss * term.weight).sum()
        if term.coefficient != 0:
            objective = (
                objective.to(weighted_loss) + term.coefficient * weighted_loss / denominators[name]
            )
        loss_and_weight = torch.stack(
            [weighted_loss.detach().double(), term.weight.detach().double().sum()]
        )
        sums[name], coefficients[name] = loss_and_weight.cpu(), term.coefficient
    if lane_parameters:
        return MicroBatchResult(
            torch.autograd.grad(objective, lane_parameters, allow_unused=True), sums, coefficients
        )
    torch.autograd.backward(objective)
    return MicroBatchResult((), sums, coefficients)


def _add_gradient(parameters: Sequence[nn.Parameter], gradient: Sequence[Tensor | None]) -> None:
    """Add a gradient to the parameters'."""
    for parameter, part_gradient in zip(parameters, gradient, strict=True):
        if part_gradient is not None:
            parameter.grad = (
                part_gradient if parameter.grad is None else parameter.grad.add_(part_gradient)
            )


def _denominators(algorithm: Algorithm, batches: Sequence[Batch]) -> dict[str, float]:
    """Return each term's denominator over the whole step."""
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64))
    for batch in batches:
        for name, weight in algorithm.weights(batch).items():
            sums[name] = sums[name] + weight.double().sum().cpu()
    denominators = {name: float(value) for name, value in _all_reduce_sums(sums).items()}
    for name, value in denominators.items():
        assert value > 0, f"term {name!r} has no weight in this step"
    return denominators


def _all_reduce_sums(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the sums over all processes; one that had nothing to do says zero."""
    names = [name for name in processes.broadcast("\n".join(sums)).split("\n") if name]
    if not names:
        return {}
    rows = processes.all_reduce_sum(torch.stack([sums[name] for name in names]))
    return dict(zip(names, rows, strict=True))


def _metrics(
    sums: dict[str, Tensor], coefficients: dict[str, float], denominators: dict[str, float]
) -> dict[str, float]:
    means = {name: float(value[0] / value[1]) for name, value in sums.items() if value[1] > 0}
    for name, expected in denominators.items():
        actual = float(sums[name][1])
        assert abs(actual - expected) <= 1e-6 * expected, (
            f"term {name!r} announced a weight of {expected} and came with {actual}"
        )
    loss = sum(c * means[n] for n, c in coefficients.items() if c != 0 and n in means)
    return {"loss": loss, **means}


def clip_grad_norm(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Scale the gradient down to norm `max_norm` at most (0: never) and return its norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if max_norm > 0:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return float(norm)
