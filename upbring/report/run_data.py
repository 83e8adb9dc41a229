"""What the folders of a road hold, as read: stages, numbers, answers, gates, and what is damaged.

Nothing is computed here. `gather` fills it, everything else in this room reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upbring.durable import JSON
from upbring.runs.contract import Contract
from upbring.runs.metrics import MetricsRecord
from upbring.runs.results import EvalResult
from upbring.runs.run_folder import DataFile

BASE = "base"


@dataclass(frozen=True, slots=True)
class ReportedStage:
    """One stage of the road: a run's folder, or what a recipe says of one that is not there."""

    name: str
    command: str
    path: Path
    status: str
    started_at: str | None = None
    finished_at: str | None = None
    planned_steps: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)  # what for: which stage, or base
    records: tuple[MetricsRecord, ...] = ()
    settings: Mapping[str, JSON] = field(default_factory=dict)
    environment: Mapping[str, JSON] = field(default_factory=dict)
    files: tuple[DataFile, ...] = ()
    contract: Contract | None = None
    samples: tuple[Mapping[str, JSON], ...] = ()
    num_trainable: int | None = None  # weights that learned
    num_weights: int | None = None  # weights of the base

    @property
    def is_training(self) -> bool:
        """Whether weights learn in it."""
        return bool(self.records) or self.contract is not None

    def metric_series(self, name: str, kind: str) -> list[tuple[int, float]]:
        """Return step and value of each record of a kind that has a number of this name."""
        return [
            (r.step, r.values[name]) for r in self.records if r.kind == kind and name in r.values
        ]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said in an evaluation, and what was found of it."""

    suite: str
    model: str
    prompt: str
    response: str
    verdicts: Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class ReportedGate:
    """What had to hold, and whether it did; `passed` is None where it was not measured."""

    name: str
    condition: str
    model: str
    value: float | None
    low: float | None
    high: float | None
    passed: bool | None
    note: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the folders hold."""

    title: str
    stages: tuple[ReportedStage, ...] = ()
    results: tuple[EvalResult, ...] = ()
    answers: tuple[Answer, ...] = ()
    gates: tuple[ReportedGate, ...] = ()
    models: tuple[str, ...] = ()  # that are compared, the first is what the road began with
    status: str | None = None  # of the recipe, where there is one
    read_errors: tuple[str, ...] = ()  # what could not be read, and is left out

    @property
    def training_stages(self) -> tuple[ReportedStage, ...]:
        """The stages in which weights learn."""
        return tuple(stage for stage in self.stages if stage.is_training)
