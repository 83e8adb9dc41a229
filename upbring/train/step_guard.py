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
FEWEST = 32  # with fewer nothing is called a leap
SIGMAS = 6.0
# What a leap is at least: a share of the mean, and an amount. Norms of sound runs on a few examples
# a step leapt to 6 times their mean (measured over 4,800 steps).
FLOORS = {"loss": (0.5, 0.5), "log_ratio": (0.5, 1.0), "gradient_norm": (9.0, 1.0)}
MOST = 3  # bad steps
SPAN = 10  # within so many

Policy = Literal["skip", "stop", "off"]
Verdict = Literal["take", "skip", "go back", "stop"]


@dataclass(slots=True)
class Guard:
    """Judges each step by those before it."""

    policy: Policy = "skip"
    limit: float = 0.0  # a gradient within the clip's limit is no leap
    past: dict[str, deque[float]] = field(default_factory=dict)
    bad: list[int] = field(default_factory=list)  # steps of late
    anchor: int = 0  # the step of the last checkpoint that was saved in quiet
    went_back: int | None = None  # at this step

    def fault(self, values: Mapping[str, float]) -> str | None:
        """Return what is wrong with a step's numbers, if anything is."""
        wild = [f"{name} {value}" for name, value in values.items() if not math.isfinite(value)]
        if wild:
            return f"{', '.join(wild)} is not finite"
        if self.policy == "off":
            return None
        leaps = [self._leap(name, values[name]) for name in FLOORS if name in values]
        return next(filter(None, leaps), None)

    def _leap(self, name: str, value: float) -> str | None:
        past = self.past.get(name, ())
        if len(past) < FEWEST or (name == "gradient_norm" and value <= self.limit):
            return None
        mean = fmean(past)
        share, least = FLOORS[name]
        rise = max(SIGMAS * pstdev(past, mean), share * abs(mean), least)
        if value <= mean + rise:
            return None
        return f"{name} {value:.4g} leaps above {mean:.4g}, the mean of the last {len(past)} steps"

    def took(self, values: Mapping[str, float]) -> None:
        """Remember a step that was taken."""
        for name in FLOORS:
            if name in values:
                self.past.setdefault(name, deque(maxlen=WINDOW)).append(values[name])

    def verdict(self, step: int, *, is_bad: bool) -> Verdict:
        """Return what to do with step `step`, and remember it if it is bad."""
        if not is_bad:
            return "take"
        if self.policy != "skip":
            return "stop"
        self.bad = [*self._late(step), step]
        has_just_gone_back = self.went_back is not None and step - self.went_back <= SPAN
        if len(self.bad) < MOST and not has_just_gone_back:
            return "skip"
        return "go back" if self.went_back is None else "stop"

    def saving(self, step: int) -> None:
        """Take note that a checkpoint is due, which is one to go back to if all is quiet."""
        if not self._late(step):
            self.anchor = step

    def going_back(self, step: int, earlier: Mapping[str, JSON]) -> None:
        """Remember that the run went back at `step`, and what the guard knew at that checkpoint."""
        self.restore({**earlier, "bad": [], "anchor": self.anchor, "went_back": step})

    def _late(self, step: int) -> list[int]:
        return [each for each in self.bad if step - each < SPAN]

    def facts(self) -> dict[str, JSON]:
        """Return what a checkpoint keeps."""
        return {
            "past": {name: [*values] for name, values in self.past.items()},
            "bad": [*self.bad],
            "anchor": self.anchor,
            "went_back": self.went_back,
        }

    def restore(self, facts: Mapping[str, JSON]) -> None:
        """Take back what `facts` returned; nothing, from a version that had no guard."""
        past, went_back = facts.get("past", {}), facts.get("went_back")
        assert isinstance(past, Mapping), "as `facts` wrote it"
        self.past = {name: deque(_numbers(values), maxlen=WINDOW) for name, values in past.items()}
        self.bad = [int(step) for step in _numbers(facts.get("bad", []))]
        self.anchor = int(str(facts.get("anchor", 0)))
        self.went_back = None if went_back is None else int(str(went_back))


def _numbers(values: JSON) -> list[float]:
    assert isinstance(values, list), "as `facts` wrote it"
    return [float(str(value)) for value in values]
