"""What the loop asks of an algorithm: steps of batches, and a loss per item.

An algorithm never reduces. It says how much each item weighs before any forward pass, and what
its loss is after one; the loop divides once, by the weight of the whole step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from torch import Tensor

from upbring.durable import JSON
from upbring.train.optimizer import ParameterGroup


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A loss per item, how much each item weighs, and how much the term counts (0: a metric)."""

    loss: Tensor  # [M]
    weight: Tensor  # [M]
    coefficient: float = 1.0


Terms = Mapping[str, Term]


@dataclass(frozen=True, slots=True)
class EvalSample:
    """A fixed prompt, what the model now answers, and what more is known of the answer."""

    prompt: str
    response: str
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Held-out numbers, which of them chooses the best weights (lower is better), and samples."""

    values: dict[str, float] = field(default_factory=dict)
    criterion: float | None = None
    samples: tuple[EvalSample, ...] = ()


class MicroBatch(Protocol):
    """A part of a step that is computed at once: what the loop itself needs to know of it."""

    @property
    def num_tokens(self) -> int:
        """Tokens that a forward pass computes."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The rows that it was made of."""


B = TypeVar("B", bound=MicroBatch)


class Algorithm(Protocol[B]):
    """A stream of batches and a loss per item."""

    steps: int

    def parameters(self) -> list[ParameterGroup]:
        """Return what learns."""

    def batches(self, start: int) -> Iterator[Sequence[B]]:
        """Yield the micro-batches of each step, from step `start` on.

        Between two steps it may write state that `weights` and `loss` read (the round, its KL
        coefficient, a batch statistic): never prefetch.
        """

    def weights(self, batch: B) -> Mapping[str, Tensor]:
        """Return the weights `[M]` of every term with a coefficient, known without a forward."""

    def loss(self, batch: B) -> Terms:
        """Return the terms of a batch, per item."""

    def evaluate(self, step: int) -> Evaluation:
        """Return held-out numbers and samples after `step` steps."""

    def state(self) -> dict[str, Tensor]:
        """Return what resuming in mid-epoch needs besides weights and optimiser."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
