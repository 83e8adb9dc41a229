"""Detect bad steps before the optimizer applies them.

A step is bad if one of its metrics is not finite, or if its loss, gradient norm or log-ratio
spikes: it rises more than six standard deviations above the mean of the last steps taken, and more
than a minimum, because some data hardly vary and gradients have long tails. A bad step is skipped,
and training continues with the next rows. After three bad steps within ten the run rolls back,
once, to the last checkpoint that was saved without recent bad steps, and continues with the next
rows. If that does not help, it stops.

The guard's state is saved in the checkpoint, so that a resumed run equals one that never stopped.
Excluded: recording and printing, done by `run_log`, and the rollback, done by `loop`.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Literal

from upbring.durable import JSON

WINDOW = 128  # taken steps that a new one is compared with
MIN_HISTORY = 32  # with fewer taken steps nothing is a spike
SPIKE_SIGMAS = 6.0
# Minimum rise of a spike: relative to the mean, and absolute. Gradient norms of healthy runs with
# few examples per step rose to 6 times their mean (measured over 4,800 steps).
SPIKE_FLOORS = {"loss": (0.5, 0.5), "log_ratio": (0.5, 1.0), "gradient_norm": (9.0, 1.0)}
# This many bad steps within the window cause a rollback.
MAX_BAD_STEPS = 3
BAD_STEP_WINDOW = 10

BadStepPolicy = Literal["skip", "stop", "off"]
StepDecision = Literal["take", "skip", "go back", "stop"]


@dataclass(slots=True)
class StepGuard:
    """Compares each step with the steps before it."""

    on_bad_step: BadStepPolicy = "skip"
    clip_norm: float = 0.0  # a gradient norm below the clipping limit is never a spike
    history: dict[str, deque[float]] = field(default_factory=dict)
    bad_steps: list[int] = field(default_factory=list)  # recent ones, by number
    rollback_step: int = 0  # of the last checkpoint without recent bad steps
    rolled_back_at: int | None = None  # step of the rollback, if any

    def fault(self, values: Mapping[str, float]) -> str | None:
        """Return what is wrong with a step's metrics, or None."""
        non_finite = [
            f"{name} {value}" for name, value in values.items() if not math.isfinite(value)
        ]
        if non_finite:
            return f"{', '.join(non_finite)} is not finite"
        if self.on_bad_step == "off":
            return None
        spikes = [self._spike(name, values[name]) for name in SPIKE_FLOORS if name in values]
        return next(filter(None, spikes), None)

    def _spike(self, name: str, value: float) -> str | None:
        history = self.history.get(name, ())
        if len(history) < MIN_HISTORY or (name == "gradient_norm" and value <= self.clip_norm):
            return None
        mean = fmean(history)
        min_ratio, min_rise = SPIKE_FLOORS[name]
        allowed_rise = max(SPIKE_SIGMAS * pstdev(history, mean), min_ratio * abs(mean), min_rise)
        if value <= mean + allowed_rise:
            return None
        return (
            f"{name} {value:.4g} spikes above {mean:.4g}, the mean of the last {len(history)} steps"
        )

    def record_step(self, values: Mapping[str, float]) -> None:
        """Add a step that was taken to the history."""
        for name in SPIKE_FLOORS:
            if name in values:
                self.history.setdefault(name, deque(maxlen=WINDOW)).append(values[name])

    def decide(self, step: int, *, is_bad: bool) -> StepDecision:
        """Return what to do with step `step`, and record it if it is bad."""
        if not is_bad:
            return "take"
        if self.on_bad_step != "skip":
            return "stop"
        self.bad_steps = [*self._recent_bad_steps(step), step]
        has_just_rolled_back = (
            self.rolled_back_at is not None and step - self.rolled_back_at <= BAD_STEP_WINDOW
        )
        if len(self.bad_steps) < MAX_BAD_STEPS and not has_just_rolled_back:
            return "skip"
        return "go back" if self.rolled_back_at is None else "stop"

    def record_checkpoint(self, step: int) -> None:
        """Record a due checkpoint as the rollback target, unless there were recent bad steps."""
        if not self._recent_bad_steps(step):
            self.rollback_step = step

    def record_rollback(self, step: int, saved_facts: Mapping[str, JSON]) -> None:
        """Record a rollback at `step`, with the guard's state of the restored checkpoint."""
        self.restore({**saved_facts, "bad": [], "anchor": self.rollback_step, "went_back": step})

    def _recent_bad_steps(self, step: int) -> list[int]:
        return [each for each in self.bad_steps if step - each < BAD_STEP_WINDOW]

    def facts(self) -> dict[str, JSON]:
        """Return the state that a checkpoint stores."""
        return {
            "past": {name: [*values] for name, values in self.history.items()},
            "bad": [*self.bad_steps],
            "anchor": self.rollback_step,
            "went_back": self.rolled_back_at,
        }

    def restore(self, facts: Mapping[str, JSON]) -> None:
        """Restore the state that `facts` returned; missing keys reset to their defaults."""
        history, rolled_back_at = facts.get("past", {}), facts.get("went_back")
        assert isinstance(history, Mapping), "must be as `facts` returned it"
        self.history = {
            name: deque(_parse_numbers(values), maxlen=WINDOW) for name, values in history.items()
        }
        self.bad_steps = [int(step) for step in _parse_numbers(facts.get("bad", []))]
        self.rollback_step = int(str(facts.get("anchor", 0)))
        self.rolled_back_at = None if rolled_back_at is None else int(str(rolled_back_at))


def _parse_numbers(values: JSON) -> list[float]:
    assert isinstance(values, list), "must be as `facts` returned it"
    return [float(str(value)) for value in values]
