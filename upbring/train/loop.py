"""The only training loop: batches in, gradients summed, one optimiser step, evidence written.

It has not heard of any algorithm. Killed and resumed it takes the same steps, bit for bit: what a
step needs is its number, the weights, the optimiser's moments and the algorithm's own state.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from upbring.data.batch import Batch
from upbring.durable import JSON
from upbring.errors import DivergedError, Interrupted
from upbring.interruption import Interruption
from upbring.runs.folder import Run
from upbring.runs.metrics import Lines, Metrics
from upbring.settings.train import TrainSettings
from upbring.train import checkpoint
from upbring.train.algorithm import Algorithm, Observations
from upbring.train.gradient import accumulate, clip
from upbring.train.optimiser import (
    learning_rate,
    make_optimiser,
    optimiser_state,
    restore_optimiser,
    set_rate,
)
from upbring.train.progress import Progress


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
        is_better = criterion is not None and (self.criterion is None or criterion < self.criterion)
        if is_better:
            self.step, self.criterion = step, criterion
        return is_better


@dataclass(eq=False)
class Training:
    """An algorithm on its way: what moves, what is kept, and where it is written."""

    algorithm: Algorithm
    settings: TrainSettings
    run: Run
    identity: Mapping[str, JSON]
    interruption: Interruption
    warn: Callable[[str], None]
    step: int = 0
    best: Best = field(default_factory=Best)
    is_observed: bool = True  # whether `step` was observed, where it should be

    def __post_init__(self) -> None:
        groups = self.algorithm.parameters()
        self.parameters = {n: p for group in groups for n, p in group.parameters.items()}
        self.names: dict[nn.Parameter, str] = {p: n for n, p in self.parameters.items()}
        self.optimiser = make_optimiser(groups, self.settings)
        self.every = max(1, self.algorithm.steps // 10)

    def train(self, progress: Progress) -> None:
        """Take all steps that are left, then put the chosen weights in place."""
        metrics, samples = Metrics(self.run.metrics_file), Lines(self.run.samples_file)
        with metrics, samples:
            try:
                if not self.is_observed:
                    self._observe(metrics, samples, progress)
                self._steps(metrics, samples, progress)
            except Interrupted:
                self.save()
                raise
            finally:
                metrics.sync()
                samples.sync()

    def _steps(self, metrics: Metrics, samples: Lines, progress: Progress) -> None:
        began = time.monotonic()
        for batches in self.algorithm.batches(self.step):
            values = self._take(batches)
            now = time.monotonic()
            seconds, began = now - began, now
            tokens = sum(batch.num_tokens for batch in batches)
            metrics.write(self.step, {**values, "tokens": tokens, "seconds": seconds})
            progress.update(self.step, values, tokens=tokens)
            if self._is_due(self.settings.evaluate_every):
                self.is_observed = False
                self._observe(metrics, samples, progress)
                began = time.monotonic()
            elif self._is_due(self.settings.save_every):
                self._save(metrics, samples)
            self.interruption.poll()

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

    def _observe(self, metrics: Metrics, samples: Lines, progress: Progress) -> None:
        seen = self.algorithm.observe(self.step)
        self.is_observed = True
        is_best = self.best.sees(self.step, seen.criterion)
        if seen.values:
            metrics.write(self.step, seen.values, kind="held_out")
        for sample in seen.samples:
            samples.append(self.step, {"prompt": sample.prompt, "response": sample.response})
        is_last = self.step == self.algorithm.steps
        progress.say(_told(self.step, seen, is_best=is_best, is_last=is_last))
        self._save(metrics, samples)

    def _save(self, metrics: Metrics, samples: Lines) -> None:
        metrics.sync()
        samples.sync()
        self.save()

    def save(self) -> Path:
        """Write a checkpoint of this moment."""
        state = checkpoint.State(self.step, self._tensors(), self._facts())
        protected = frozenset() if self.best.step is None else frozenset({self.best.step})
        return checkpoint.save(
            self.run.checkpoints,
            state,
            identity=self.identity,
            keep=self.settings.keep,
            protect=protected,
            warn=self.warn,
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
        for path in (self.run.metrics_file, self.run.samples_file):
            with Lines(path) as lines:
                lines.cut(self.step)

    def begin_again(self) -> None:
        """Forget what was written by a course that left no checkpoint."""
        for path in (self.run.metrics_file, self.run.samples_file):
            with Lines(path) as lines:
                lines.cut(0)

    @torch.no_grad()
    def put_weights(self, state: checkpoint.State) -> None:
        """Put a checkpoint's weights in place, and nothing else of it."""
        weights = _part(state.tensors, "weights")
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {n.removeprefix(f"{part}/"): t for n, t in tensors.items() if n.startswith(f"{part}/")}


def _told(step: int, seen: Observations, *, is_best: bool, is_last: bool) -> str:
    """Return an observation as lines to print: one sample on the way, all of them at the end."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in seen.values.items())
    head = f"step {step}: held out {numbers}" if numbers else f"step {step}"
    answers = [
        f"  {_line(sample.prompt, from_end=True)} → {_line(sample.response)}"
        for sample in seen.samples[: None if is_last else 1]
    ]
    return "\n".join([head + (" (best so far)" if is_best else ""), *answers])


def _line(text: str, *, from_end: bool = False, limit: int = 60) -> str:
    r"""Return text on one line, cut to `limit` characters.

    >>> _line("Hello,\n\nworld", limit=9)
    'Hello, w…'
    >>> _line("Hello,\n\nworld", from_end=True, limit=9)
    '…o, world'
    """
    words = " ".join(text.split())
    if len(words) <= limit:
        return words
    return "…" + words[1 - limit :] if from_end else words[: limit - 1] + "…"
