"""The interface between the training loop and an algorithm: batches, and a loss per item.

An algorithm never reduces. It returns the weight of each item before any forward pass, and the loss
of each item after one. The loop divides once, by the total weight of the step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from torch import Tensor

from upbring.durable import JSON
from upbring.train.optimizer import ParameterGroup


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A loss and a weight per item, and the coefficient of the term (0: only a metric)."""

    loss: Tensor  # [M]
    weight: Tensor  # [M]
    coefficient: float = 1.0


Terms = Mapping[str, Term]


@dataclass(frozen=True, slots=True)
class EvalSample:
    """A fixed prompt, the model's current response, and metadata of the response."""

    prompt: str
    response: str
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out metrics, the criterion for the best checkpoint (lower is better), and samples."""

    values: dict[str, float] = field(default_factory=dict)
    criterion: float | None = None
    samples: tuple[EvalSample, ...] = ()


class MicroBatch(Protocol):
    """A part of a step that is computed in one forward pass, as the loop sees it."""

    @property
    def num_tokens(self) -> int:
        """The number of tokens of a forward pass."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its rows."""


B = TypeVar("B", bound=MicroBatch)


class Algorithm(Protocol[B]):
    """A stream of batches and a loss per item."""

    steps: int

    def parameters(self) -> list[ParameterGroup]:
        """Return the trainable parameters by group."""

    def batches(self, start: int) -> Iterator[Sequence[B]]:
        """Yield the micro-batches of each step, from step `start` on.

        Between two steps it may write state that `weights` and `loss` read (the round, its KL
        coefficient, a batch statistic): never prefetch.
        """

    def weights(self, batch: B) -> Mapping[str, Tensor]:
        """Return the weights `[M]` of each term with a coefficient, without a forward pass."""

    def loss(self, batch: B) -> Terms:
        """Return the terms of a batch, per item."""

    def first_step_error(self, values: Mapping[str, float]) -> str | None:
        """Return which metric of the first step is impossible before any update, or None."""

    def evaluate(self, step: int) -> Evaluation:
        """Return held-out metrics and samples after `step` steps."""

    def state(self) -> dict[str, Tensor]:
        """Return the state for resuming in mid-epoch, besides weights and optimizer."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
