"""The only training loop: batches in, gradients summed, one optimiser step, evidence written.

It has not heard of any algorithm. Killed and resumed it takes the same steps, bit for bit: what a
step needs is its number, the weights, the optimiser's moments, the algorithm's own state and what
the guard remembers.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from upbring.data.trees.batch import Batch
from upbring.durable import JSON
from upbring.errors import DivergedError, Interrupted, ResumeError, UpbringError
from upbring.interruption import Interruption
from upbring.settings.training import TrainSettings
from upbring.train import checkpoint, processes
from upbring.train.algorithm import Algorithm
from upbring.train.gradient import accumulate, clip
from upbring.train.optimizer import (
    learning_rate,
    make_optimiser,
    optimiser_state,
    restore_optimiser,
    set_rate,
)
from upbring.train.run_log import Journal
from upbring.train.step_guard import Guard, Verdict


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


@dataclass(frozen=True, slots=True)
class Taken:
    """A step's numbers, what the guard said of it, and why."""

    values: dict[str, float]
    verdict: Verdict = "take"
    fault: str = ""


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
        self.guard = Guard(self.settings.guard, self.settings.clip)
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
        """Take steps; after going back from new batches, for these may depend on the weights."""
        is_done = False
        while not is_done:
            is_done = self._course(journal)

    def _course(self, journal: Journal) -> bool:
        """Take the steps that are left; return whether it got through, and did not go back."""
        began = time.monotonic()
        for batches in self.algorithm.batches(self.step):
            taken = self._take(batches)
            now = time.monotonic()
            seconds, began = now - began, now
            tokens = int(processes.total(torch.tensor(sum(b.num_tokens for b in batches))))
            journal.step(self.step, taken.values, tokens=tokens, seconds=seconds)
            if taken.verdict != "take":
                self._leave_out(taken, batches, journal)
            if self._is_due(self.settings.evaluate_every):
                self.is_observed = False
                self.guard.saving(self.step)
                self._observe(journal)
                began = time.monotonic()
            elif self._is_due(self.settings.save_every):
                self.guard.saving(self.step)
                self._save(journal)
            if processes.agreed(wish=self.interruption.is_requested):
                raise Interrupted("stopped", signal_number=self.interruption.signal_number or 2)
            if taken.verdict == "go back":
                return False
        return True

    def _is_due(self, every: int | None) -> bool:
        return self.step % (every or self.every) == 0 or self.step == self.algorithm.steps

    def _take(self, batches: Sequence[Batch]) -> Taken:
        """Take one step, unless the guard speaks against it, and return what came of it."""
        rate = learning_rate(self.step, self.algorithm.steps, self.settings)
        set_rate(self.optimiser, rate)
        values = accumulate(self.algorithm, batches)
        values["gradient_norm"] = clip(list(self.parameters.values()), self.settings.clip)
        fault = self.guard.fault(values)
        is_bad = processes.agreed(wish=fault is not None)
        verdict = self.guard.verdict(self.step + 1, is_bad=is_bad)
        if verdict == "take":
            self.optimiser.step()
            self.guard.took(values)
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        values["learning_rate"] = rate
        if verdict == "take":
            return Taken(values)
        values["left_out"] = 1.0
        return Taken(values, verdict, fault or "another process found fault with it")

    def _leave_out(self, taken: Taken, batches: Sequence[Batch], journal: Journal) -> None:
        """Tell of a step that was not taken, and do what the guard says."""
        mine = json.dumps([key for batch in batches for key in batch.keys])
        rows = [key for keys in processes.gathered(mine) for key in json.loads(keys)]
        journal.left_out(self.step, taken.fault, rows=rows)
        if taken.verdict == "go back":
            self._go_back(taken, journal)
        elif taken.verdict == "stop":
            raise DivergedError(self._refusal(taken))

    def _refusal(self, taken: Taken) -> str:
        before = self.guard.went_back
        again = "" if before is None else f", though the run went back at step {before}"
        return (
            f"step {self.step}: {taken.fault}{again}; the step was not taken. Lower learning_rate, "
            "or raise warm_up"
        )

    def _go_back(self, taken: Taken, journal: Journal) -> None:
        """Take the weights of the last quiet checkpoint, and go on with the next step's rows.

        The steps since are lost; their number, and with it schedule and order of the rows, is not
        taken back, for the same rows would lead to the same place.
        """
        anchor = self.guard.anchor
        try:
            state = checkpoint.read(Path(processes.told(journal.saved(anchor))))
        except UpbringError as error:
            raise DivergedError(
                f"{self._refusal(taken)}. There is no checkpoint to go back to: {error}"
            ) from error
        self._put(state)
        earlier = state.facts.get("guard")
        self.guard.going_back(self.step, earlier if isinstance(earlier, Mapping) else {})
        journal.say(
            f"step {self.step}: not the first of late, so the weights are those of step {anchor} "
            f"again; steps {anchor + 1} to {self.step} are passed over"
        )

    def _observe(self, journal: Journal) -> None:
        seen = self.algorithm.observe(self.step)
        self.is_observed = True
        is_best = self.best.sees(self.step, seen.criterion)
        is_last = self.step == self.algorithm.steps
        journal.observed(self.step, seen, is_best=is_best, is_last=is_last)
        self._save(journal)

    def _save(self, journal: Journal) -> None:
        protect = {step for step in (self.guard.anchor, self.best.step) if step is not None}
        state = checkpoint.State(self.step, self._tensors(), self._facts())
        journal.save(state, protect=protect)

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
            "guard": self.guard.facts(),
        }

    def restore(self, state: checkpoint.State) -> None:
        """Go back to the moment of a checkpoint."""
        self._put(state)
        self.step = state.step
        self.best = Best.of(state.facts)
        self.is_observed = bool(state.facts["is_observed"])
        guard = state.facts.get("guard")
        if isinstance(guard, Mapping):
            self.guard.restore(guard)
        else:
            self.guard.anchor = state.step  # of a version that had no guard

    def _put(self, state: checkpoint.State) -> None:
        """Put all tensors of a checkpoint in place."""
        self.put_weights(state)
        self.optimiser.state.clear()
        restore_optimiser(self.optimiser, self.names, _part(state.tensors, "optimiser"))
        self.algorithm.restore(_part(state.tensors, "algorithm"))

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
