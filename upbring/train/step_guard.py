"""What must never reach the weights is stopped before the optimiser's step.

A step is bad if a number of it is not finite, or if its loss, gradient or log-ratio leaps: more
than six standard deviations above the mean of the last steps taken, and by more than a floor, for a
stream may hardly vary, and gradients have long tails. A bad step is left out, and the data
move on. Three of them within ten steps: the run goes back, once, to the last checkpoint that was
saved in quiet, and past the steps since. If that does not help, it stops.

The guard remembers in the checkpoint, so that killed and resumed is never killed.
Left out: writing down and telling, which is the journal's; going back, which is the loop's.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Literal

from upbring.durable import JSON

WINDOW = 128  # steps that were taken, which the next one is compared with
MIN_HISTORY = 32  # with fewer nothing is called a leap
SPIKE_SIGMAS = 6.0
# What a leap is at least: a share of the mean, and an amount. Norms of sound runs on a few examples
# a step leapt to 6 times their mean (measured over 4,800 steps).
SPIKE_FLOORS = {"loss": (0.5, 0.5), "log_ratio": (0.5, 1.0), "gradient_norm": (9.0, 1.0)}
MAX_BAD_STEPS = 3  # bad steps
BAD_STEP_WINDOW = 10  # within so many

BadStepPolicy = Literal["skip", "stop", "off"]
StepDecision = Literal["take", "skip", "go back", "stop"]


@dataclass(slots=True)
class StepGuard:
    """Judges each step by those before it."""

    on_bad_step: BadStepPolicy = "skip"
    clip_norm: float = 0.0  # a gradient within the clip's limit is no leap
    history: dict[str, deque[float]] = field(default_factory=dict)
    bad_steps: list[int] = field(default_factory=list)  # steps of late
    rollback_step: int = 0  # the step of the last checkpoint that was saved in quiet
    rolled_back_at: int | None = None  # at this step

    def fault(self, values: Mapping[str, float]) -> str | None:
        """Return what is wrong with a step's numbers, if anything is."""
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
            f"{name} {value:.4g} leaps above {mean:.4g}, the mean of the last {len(history)} steps"
        )

    def record_step(self, values: Mapping[str, float]) -> None:
        """Remember a step that was taken."""
        for name in SPIKE_FLOORS:
            if name in values:
                self.history.setdefault(name, deque(maxlen=WINDOW)).append(values[name])

    def decide(self, step: int, *, is_bad: bool) -> StepDecision:
        """Return what to do with step `step`, and remember it if it is bad."""
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
        """Take note that a checkpoint is due, which is one to go back to if all is quiet."""
        if not self._recent_bad_steps(step):
            self.rollback_step = step

    def record_rollback(self, step: int, saved_facts: Mapping[str, JSON]) -> None:
        """Remember that the run went back at `step`, and what the guard knew at that checkpoint."""
        self.restore({**saved_facts, "bad": [], "anchor": self.rollback_step, "went_back": step})

    def _recent_bad_steps(self, step: int) -> list[int]:
        return [each for each in self.bad_steps if step - each < BAD_STEP_WINDOW]

    def facts(self) -> dict[str, JSON]:
        """Return what a checkpoint keeps."""
        return {
            "past": {name: [*values] for name, values in self.history.items()},
            "bad": [*self.bad_steps],
            "anchor": self.rollback_step,
            "went_back": self.rolled_back_at,
        }

    def restore(self, facts: Mapping[str, JSON]) -> None:
        """Take back what `facts` returned; nothing, from a version that had no guard."""
        history, rolled_back_at = facts.get("past", {}), facts.get("went_back")
        assert isinstance(history, Mapping), "as `facts` wrote it"
        self.history = {
            name: deque(_parse_numbers(values), maxlen=WINDOW) for name, values in history.items()
        }
        self.bad_steps = [int(step) for step in _parse_numbers(facts.get("bad", []))]
        self.rollback_step = int(str(facts.get("anchor", 0)))
        self.rolled_back_at = None if rolled_back_at is None else int(str(rolled_back_at))


def _parse_numbers(values: JSON) -> list[float]:
    assert isinstance(values, list), "as `facts` wrote it"
    return [float(str(value)) for value in values]
