"""The one reduction: Σ over terms of coefficient · Σ(loss · weight) / Σ weight.

Each term's denominator is summed over all micro-batches and processes of the step, so that the
gradient and the metrics do not depend on how a step is split into micro-batches.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from upbring.train import processes
from upbring.train.algorithm import Algorithm, B, Term, Terms


def accumulate(algorithm: Algorithm[B], batches: Sequence[B]) -> dict[str, float]:
    """Accumulate the gradient of a step, and return its metrics, including `loss`."""
    denominators = _denominators(algorithm, batches)
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64))
    coefficients: dict[str, float] = {}
    for batch in batches:
        terms = algorithm.loss(batch)
        torch.autograd.backward(_objective(terms, denominators))
        for name, term in terms.items():
            sums[name] = sums[name] + _loss_and_weight(term)
            coefficients[name] = term.coefficient
    trainable = [p for group in algorithm.parameters() for p in group.parameters.values()]
    processes.sum_gradients(trainable)
    return _metrics(_all_reduce_sums(sums), coefficients, denominators)


def _objective(terms: Terms, denominators: Mapping[str, float]) -> Tensor:
    """Return the contribution of a micro-batch to the minimized loss."""
    objective = torch.zeros(())
    for name, term in terms.items():
        if term.coefficient != 0:
            loss = (term.loss * term.weight).sum()
            objective = objective.to(loss) + term.coefficient * loss / denominators[name]
    return objective


def _loss_and_weight(term: Term) -> Tensor:
    """Return `[2]` float64: Σ loss · weight, Σ weight."""
    loss, weight = term.loss.detach(), term.weight.detach()
    return torch.stack([(loss * weight).sum().double(), weight.double().sum()]).cpu()


def _denominators(algorithm: Algorithm[B], batches: Sequence[B]) -> dict[str, float]:
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
    """Return the sums over all processes; a process without batches contributes zero."""
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
            f"term {name!r} has weight {actual}, but `weights` returned {expected}"
        )
    loss = sum(c * means[n] for n, c in coefficients.items() if c != 0 and n in means)
    return {"loss": loss, **means}


def clip_grad_norm(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Clip the gradient norm to `max_norm` (0: no clipping) and return the norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if max_norm > 0:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return float(norm)
