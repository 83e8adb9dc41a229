"""The one reduction: Σ over terms of coefficient · Σ(loss · weight) / Σ weight.

Each term's denominator is taken over all micro-batches and processes of the step, so that cutting
a step into parts, whatever their sizes, gives the same gradient and the same metrics.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from upbring.data.batch import Batch
from upbring.train import processes
from upbring.train.algorithm import Algorithm


def accumulate(algorithm: Algorithm, batches: Sequence[Batch]) -> dict[str, float]:
    """Add a step's gradient to the parameters' and return its metrics, `loss` among them."""
    totals = _totals(algorithm, batches)
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64))
    coefficients: dict[str, float] = {}
    for batch in batches:
        objective = torch.zeros(())
        for name, term in algorithm.loss(batch).items():
            weighed = (term.loss * term.weight).sum()
            if term.coefficient != 0:
                objective = objective.to(weighed) + term.coefficient * weighed / totals[name]
            both = torch.stack([weighed.detach().double(), term.weight.detach().double().sum()])
            sums[name] = sums[name] + both.cpu()
            coefficients[name] = term.coefficient
        torch.autograd.backward(objective)
    learned = [p for group in algorithm.parameters() for p in group.parameters.values()]
    processes.sum_gradients(learned)
    return _metrics(_summed(sums), coefficients, totals)


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
