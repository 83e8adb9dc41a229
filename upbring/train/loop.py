"""The only training loop: batches, summed gradients, an optimizer step, metrics, checkpoints.

It does not depend on the algorithm. A killed and resumed run takes the same steps, bit for bit: a
step depends only on its number, the weights, the optimizer's moments, the algorithm's state and the
guard's state.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from upbring.data.trees.batch import Batch
from upbring.durable import JSON
from upbring.errors import DivergedError, FunctionError, Interrupted, ResumeError, UpbringError
from upbring.interruption import Interruption
from upbring.settings.training import TrainSettings
from upbring.train import checkpoint, processes
from upbring.train.algorithm import Algorithm
from upbring.train.gradient import accumulate, clip_grad_norm
from upbring.train.heap import HeapTrimmer
from upbring.train.optimizer import (
    learning_rate,
    make_optimizer,
    optimizer_state,
    restore_optimizer,
    set_learning_rate,
)
from upbring.train.run_log import RunLog
from upbring.train.step_guard import StepDecision, StepGuard


@dataclass(slots=True)
class BestCheckpoint:
    """The step with the lowest held-out criterion."""

    step: int | None = None
    criterion: float | None = None

    @classmethod
    def from_facts(cls, facts: Mapping[str, JSON]) -> "BestCheckpoint":
        """Return the best step that a checkpoint's facts contain."""
        step, criterion = facts["best_step"], facts["best_criterion"]
        if step is None or criterion is None:
            return cls()
        return cls(int(str(step)), float(str(criterion)))

    def update(self, step: int, criterion: float | None) -> bool:
        """Record an evaluation; return whether it is the best so far."""
        if criterion is None or not math.isfinite(criterion):
            return False
        if self.criterion is not None and criterion >= self.criterion:
            return False
        self.step, self.criterion = step, criterion
        return True


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step's metrics, the guard's decision, and its reason."""

    values: dict[str, float]
    decision: StepDecision = "take"
    fault: str = ""


@dataclass(eq=False)
class Trainer:
    """Trains an algorithm: its parameters, optimizer, guard and current step."""

    algorithm: Algorithm[Any]
    settings: TrainSettings
    interruption: Interruption
    step: int = 0
    best: BestCheckpoint = field(default_factory=BestCheckpoint)
    is_evaluated: bool = False  # whether the evaluation at `step`, 0 included, is done
    heap: HeapTrimmer = field(default_factory=HeapTrimmer)

    def __post_init__(self) -> None:
        groups = self.algorithm.parameters()
        self.parameters = {n: p for group in groups for n, p in group.parameters.items()}
        self.parameter_names: dict[nn.Parameter, str] = {p: n for n, p in self.parameters.items()}
        self.optimizer = make_optimizer(groups, self.settings)
        self.guard = StepGuard(self.settings.guard, self.settings.max_grad_norm)
        self.default_interval = max(1, self.algorithm.steps // 10)

    def train(self, run_log: RunLog) -> None:
        """Run all remaining steps; save a checkpoint if interrupted or if a user's code fails."""
        try:
            if not self.is_evaluated:
                self._evaluate(run_log)
                run_log.end_step()
            self._run_until_done(run_log)
        except (FunctionError, Interrupted):
            self._save(run_log)
            raise

    def _run_until_done(self, run_log: RunLog) -> None:
        """Run all steps; after a rollback with new batches, which may depend on the weights."""
        is_done = False
        while not is_done:
            is_done = self._run_steps(run_log)

    def _run_steps(self, run_log: RunLog) -> bool:
        """Run the remaining steps; return False if they ended in a rollback."""
        started_at = time.monotonic()
        for batches in self.algorithm.batches(self.step):
            result = self._train_step(batches)
            self.heap.after_step()
            now = time.monotonic()
            seconds, started_at = now - started_at, now
            tokens = int(processes.all_reduce_sum(torch.tensor(sum(b.num_tokens for b in batches))))
            run_log.log_step(self.step, result.values, tokens=tokens, seconds=seconds)
            if result.decision != "take":
                self._handle_bad_step(result, batches, run_log)
            if self._is_due(self.settings.eval_steps):
                self.is_evaluated = False
                self.guard.record_checkpoint(self.step)
                self._evaluate(run_log)
            elif self._is_due(self.settings.save_steps):
                self.guard.record_checkpoint(self.step)
                self._save(run_log)
            run_log.end_step()
            started_at = time.monotonic()  # of the next step, without what was done in between
            if processes.any_process(flag=self.interruption.is_requested):
                raise Interrupted("stopped", signal_number=self.interruption.signal_number or 2)
            if result.decision == "go back":
                return False
        return True

    def _is_due(self, interval: int | None) -> bool:
        return (
            self.step % (interval or self.default_interval) == 0
            or self.step == self.algorithm.steps
        )

    def _train_step(self, batches: Sequence[Batch]) -> StepResult:
        """Run one step, skip its update if the guard rejects it, and return the result."""
        rate = learning_rate(self.step, self.algorithm.steps, self.settings)
        set_learning_rate(self.optimizer, rate)
        values = accumulate(self.algorithm, batches)
        values["gradient_norm"] = clip_grad_norm(
            list(self.parameters.values()), self.settings.max_grad_norm
        )
        if self.step == 0 and (error := self.algorithm.first_step_error(values)) is not None:
            raise DivergedError(
                f"step 1: {error}; the model is not computed the same way everywhere, and training "
                "would be wrong. Use --dtype float32, or another model"
            )
        fault = self.guard.fault(values)
        is_bad = processes.any_process(flag=fault is not None)
        decision = self.guard.decide(self.step + 1, is_bad=is_bad)
        if decision == "take":
            self.optimizer.step()
            self.guard.record_step(values)
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        values["learning_rate"] = rate
        if decision == "take":
            return StepResult(values)
        values["left_out"] = 1.0
        return StepResult(values, decision, fault or "another process reported a bad step")

    def _handle_bad_step(
        self, result: StepResult, batches: Sequence[Batch], run_log: RunLog
    ) -> None:
        """Report a step that was not taken, and roll back or stop if the guard decides so."""
        own_keys = json.dumps([key for batch in batches for key in batch.keys])
        rows = [key for keys in processes.all_gather(own_keys) for key in json.loads(keys)]
        run_log.log_skipped_step(self.step, result.fault, rows=rows)
        if result.decision == "go back":
            self._roll_back(result, run_log)
        elif result.decision == "stop":
            raise DivergedError(self._divergence_message(result))

    def _divergence_message(self, result: StepResult) -> str:
        rolled_back_at = self.guard.rolled_back_at
        again = "" if rolled_back_at is None else f", after a rollback at step {rolled_back_at}"
        return (
            f"step {self.step}: {result.fault}{again}; the step was not taken. Lower "
            "learning_rate, or raise warmup"
        )

    def _roll_back(self, result: StepResult, run_log: RunLog) -> None:
        """Restore the weights of the last good checkpoint and continue with the next step's rows.

        The updates since are lost. The step number, and with it the schedule and the order of the
        rows, is not reset, because the same rows would lead to the same failure.
        """
        rollback_step = self.guard.rollback_step
        try:
            state = checkpoint.read(
                Path(processes.broadcast(run_log.checkpoint_path(rollback_step)))
            )
        except UpbringError as error:
            raise DivergedError(
                f"{self._divergence_message(result)}. No checkpoint to roll back to: {error}"
            ) from error
        self._restore_tensors(state)
        guard_facts = state.facts.get("guard")
        self.guard.record_rollback(
            self.step, guard_facts if isinstance(guard_facts, Mapping) else {}
        )
        run_log.print_line(
            f"step {self.step}: repeated bad steps; restored the weights of step {rollback_step}, "
            f"the updates of steps {rollback_step + 1} to {self.step} are discarded"
        )

    def _evaluate(self, run_log: RunLog) -> None:
        evaluation = self.algorithm.evaluate(self.step)
        self.is_evaluated = True
        is_best = self.best.update(self.step, evaluation.criterion)
        is_last = self.step == self.algorithm.steps
        run_log.log_evaluation(self.step, evaluation, is_best=is_best, is_last=is_last)
        self._save(run_log)

    def _save(self, run_log: RunLog) -> None:
        protect = {step for step in (self.guard.rollback_step, self.best.step) if step is not None}
        state = checkpoint.State(self.step, self._state_tensors(), self._state_facts())
        run_log.save_checkpoint(state, protect=protect)

    def _state_tensors(self) -> dict[str, Tensor]:
        parts = {
            "weights": {n: p.detach() for n, p in self.parameters.items()},
            "optimizer": optimizer_state(self.optimizer, self.parameter_names),
            "algorithm": self.algorithm.state(),
        }
        return {
            f"{part}/{name}": t for part, tensors in parts.items() for name, t in tensors.items()
        }

    def _state_facts(self) -> dict[str, JSON]:
        return {
            "best_step": self.best.step,
            "best_criterion": self.best.criterion,
            "is_observed": self.is_evaluated,
            "guard": self.guard.facts(),
        }

    def restore(self, state: checkpoint.State) -> None:
        """Restore the trainer from a checkpoint."""
        self._restore_tensors(state)
        self.step = state.step
        self.best = BestCheckpoint.from_facts(state.facts)
        self.is_evaluated = bool(state.facts["is_observed"])
        guard = state.facts["guard"]
        assert isinstance(guard, Mapping), "a checkpoint has the guard's state"
        self.guard.restore(guard)

    def _restore_tensors(self, state: checkpoint.State) -> None:
        """Restore weights, optimizer state and algorithm state from a checkpoint."""
        self.load_weights(state)
        self.optimizer.state.clear()
        restore_optimizer(
            self.optimizer, self.parameter_names, _tensors_under(state.tensors, "optimizer")
        )
        self.algorithm.restore(_tensors_under(state.tensors, "algorithm"))

    @torch.no_grad()
    def load_weights(self, state: checkpoint.State) -> None:
        """Copy the weights of a checkpoint, and nothing else."""
        weights = _tensors_under(state.tensors, "weights")
        own_shapes = {name: tuple(p.shape) for name, p in self.parameters.items()}
        saved_shapes = {name: tuple(t.shape) for name, t in weights.items()}
        if own_shapes != saved_shapes:
            name = min(
                n
                for n in own_shapes.keys() | saved_shapes.keys()
                if own_shapes.get(n) != saved_shapes.get(n)
            )
            raise ResumeError(
                f"{name}: the checkpoint has shape {saved_shapes.get(name)}, this run has "
                f"{own_shapes.get(name)}; trainable weights cannot change within a run, start a "
                "new run"
            )
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])


def _tensors_under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        n.removeprefix(f"{prefix}/"): t for n, t in tensors.items() if n.startswith(f"{prefix}/")
    }
