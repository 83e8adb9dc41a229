"""The only training loop: batches in, gradients summed, one optimiser step, evidence written.

It has not heard of any algorithm. Killed and resumed it takes the same steps, bit for bit: what a
step needs is its number, the weights, the optimiser's moments and the algorithm's own state.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from upbring.data.batch import Batch
from upbring.durable import JSON
from upbring.errors import DivergedError, Interrupted, ResumeError
from upbring.interruption import Interruption
from upbring.settings.train import TrainSettings
from upbring.train import checkpoint, processes
from upbring.train.algorithm import Algorithm
from upbring.train.gradient import accumulate, clip
from upbring.train.journal import Journal
from upbring.train.optimiser import (
    learning_rate,
    make_optimiser,
    optimiser_state,
    restore_optimiser,
    set_rate,
)


@dataclass(slots=True)
class Best:
    """The step whose held-out criterion was lowest."""

    step: int | None = None
    criterion: float | None = None

    @classmethod
    def of(cls, facts: Mapping[str, JSON]) -> "Best":
        """Return what a checkpoint's facts say."""
        step, criterion = facts["best_step"], facts["best_criterion"]
        if step is None or criterion is None:
            return cls()
        return cls(int(str(step)), float(str(criterion)))

    def sees(self, step: int, criterion: float | None) -> bool:
        """Take note of an observation; return whether it is the best so far."""
        if criterion is None or not math.isfinite(criterion):
            return False
        if self.criterion is not None and criterion >= self.criterion:
            return False
        self.step, self.criterion = step, criterion
        return True


@dataclass(eq=False)
class Training:
    """An algorithm on its way: what moves, and where it is written down."""

    algorithm: Algorithm
    settings: TrainSettings
    interruption: Interruption
    step: int = 0
    best: Best = field(default_factory=Best)
    is_observed: bool = False  # whether `step` was observed, where it should be: at 0 it should

    def __post_init__(self) -> None:
        groups = self.algorithm.parameters()
        self.parameters = {n: p for group in groups for n, p in group.parameters.items()}
        self.names: dict[nn.Parameter, str] = {p: n for n, p in self.parameters.items()}
        self.optimiser = make_optimiser(groups, self.settings)
        self.every = max(1, self.algorithm.steps // 10)

    def train(self, journal: Journal) -> None:
        """Take all steps that are left; interrupted, save and pass the interruption on."""
        try:
            if not self.is_observed:
                self._observe(journal)
            self._steps(journal)
        except Interrupted:
            self._save(journal)
            raise

    def _steps(self, journal: Journal) -> None:
        began = time.monotonic()
        for batches in self.algorithm.batches(self.step):
            values = self._take(batches)
            now = time.monotonic()
            seconds, began = now - began, now
            tokens = int(processes.total(torch.tensor(sum(b.num_tokens for b in batches))))
            journal.step(self.step, values, tokens=tokens, seconds=seconds)
            if self._is_due(self.settings.evaluate_every):
                self.is_observed = False
                self._observe(journal)
                began = time.monotonic()
            elif self._is_due(self.settings.save_every):
                self._save(journal)
            if processes.agreed(wish=self.interruption.is_requested):
                raise Interrupted("stopped", signal_number=self.interruption.signal_number or 2)

    def _is_due(self, every: int | None) -> bool:
        return self.step % (every or self.every) == 0 or self.step == self.algorithm.steps

    def _take(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Take one step and return its metrics."""
        rate = learning_rate(self.step, self.algorithm.steps, self.settings)
        set_rate(self.optimiser, rate)
        values = accumulate(self.algorithm, batches)
        norm = clip(list(self.parameters.values()), self.settings.clip)
        if not torch.isfinite(torch.tensor([values["loss"], norm])).all():
            raise DivergedError(
                f"step {self.step + 1}: loss {values['loss']} with gradient norm {norm}; the step "
                "was not taken. Lower learning_rate, or raise warm_up"
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return {**values, "gradient_norm": norm, "learning_rate": rate}

    def _observe(self, journal: Journal) -> None:
        seen = self.algorithm.observe(self.step)
        self.is_observed = True
        is_best = self.best.sees(self.step, seen.criterion)
        is_last = self.step == self.algorithm.steps
        journal.observed(self.step, seen, is_best=is_best, is_last=is_last)
        self._save(journal)

    def _save(self, journal: Journal) -> None:
        journal.save(
            checkpoint.State(self.step, self._tensors(), self._facts()), best=self.best.step
        )

    def _tensors(self) -> dict[str, Tensor]:
        parts = {
            "weights": {n: p.detach() for n, p in self.parameters.items()},
            "optimiser": optimiser_state(self.optimiser, self.names),
            "algorithm": self.algorithm.state(),
        }
        return {
            f"{part}/{name}": t for part, tensors in parts.items() for name, t in tensors.items()
        }

    def _facts(self) -> dict[str, JSON]:
        return {
            "best_step": self.best.step,
            "best_criterion": self.best.criterion,
            "is_observed": self.is_observed,
        }

    def restore(self, state: checkpoint.State) -> None:
        """Go back to the moment of a checkpoint."""
        self.put_weights(state)
        optimiser = _part(state.tensors, "optimiser")
        restore_optimiser(self.optimiser, self.names, optimiser)
        self.algorithm.restore(_part(state.tensors, "algorithm"))
        self.step = state.step
        self.best = Best.of(state.facts)
        self.is_observed = bool(state.facts["is_observed"])

    @torch.no_grad()
    def put_weights(self, state: checkpoint.State) -> None:
        """Put a checkpoint's weights in place, and nothing else of it."""
        weights = _part(state.tensors, "weights")
        mine = {name: tuple(p.shape) for name, p in self.parameters.items()}
        theirs = {name: tuple(t.shape) for name, t in weights.items()}
        if mine != theirs:
            name = min(n for n in mine.keys() | theirs.keys() if mine.get(n) != theirs.get(n))
            raise ResumeError(
                f"{name}: the checkpoint has shape {theirs.get(name)}, this run {mine.get(name)}; "
                "what learns cannot change within a run, begin a new one"
            )
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {n.removeprefix(f"{part}/"): t for n, t in tensors.items() if n.startswith(f"{part}/")}
