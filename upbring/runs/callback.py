"""Callbacks: what happens in a training run, passed to objects of the user and to trackers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from upbring.durable import JSON

MetricsKind = Literal["train", "held_out"]
RunEnd = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class RunStart:
    """A run at its start, or where it is resumed."""

    path: Path  # of the run folder
    method: str  # sft, grpo …
    settings: Mapping[str, JSON]
    steps: int  # of the whole run
    step: int  # steps done before: 0 for a new run
    started_at: str = ""  # when the run was created

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.path.name

    @property
    def unique_id(self) -> str:
        """The name with a hash of when the run was created, also where it is resumed."""
        digest = hashlib.sha256(f"{self.name} {self.started_at}".encode()).hexdigest()
        return f"{self.name}-{digest[:8]}"


class Callback:
    """Called by a training run after each step; a subclass overrides what it needs.

    The values are those of metrics.jsonl and samples.jsonl. With several processes, only the first
    one calls callbacks. An error in a callback stops the run, which can be resumed.
    """

    def on_start(self, run: RunStart) -> None:
        """Receive the run, before its first step and when it is resumed."""

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: MetricsKind) -> None:
        """Receive the metrics of each step, and those of each evaluation."""

    def on_samples(self, step: int, samples: Sequence[Mapping[str, JSON]]) -> None:
        """Receive the prompts and responses of each evaluation."""

    def on_end(self, status: RunEnd) -> None:
        """Receive the end; a run that did not finish may be resumed."""
