"""What was read from the folders of a pipeline: stages, results, responses, gates and read errors.

`read_folders` creates these objects; the rest of the package reads them. Nothing is computed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upbring.durable import JSON
from upbring.runs.contract import Contract
from upbring.runs.data_file import DataFile
from upbring.runs.metrics import MetricsRecord
from upbring.runs.results import EvalResult

BASE = "base"


@dataclass(frozen=True, slots=True)
class ReportedStage:
    """One pipeline stage, read from its run folder or, if it has none yet, from the recipe."""

    name: str
    command: str
    path: Path
    status: str
    learns_from: str | None = None  # documents, demonstrations, comparisons, labels or prompts
    makes: str | None = None  # policy or reward model
    panels: tuple[str, ...] = ()  # the metrics that matter most for the method
    started_at: str | None = None
    finished_at: str | None = None
    planned_steps: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)  # role → stage name or model
    records: tuple[MetricsRecord, ...] = ()
    settings: Mapping[str, JSON] = field(default_factory=dict)
    environment: Mapping[str, JSON] = field(default_factory=dict)
    files: tuple[DataFile, ...] = ()
    contract: Contract | None = None
    samples: tuple[Mapping[str, JSON], ...] = ()
    num_trainable: int | None = None  # trainable weights
    num_weights: int | None = None  # weights of the base model

    @property
    def is_training(self) -> bool:
        """Whether the stage trains weights."""
        return bool(self.records) or self.contract is not None

    def metric_series(self, name: str, kind: str) -> list[tuple[int, float]]:
        """Return (step, value) of each record of this kind that has this metric."""
        return [
            (r.step, r.values[name]) for r in self.records if r.kind == kind and name in r.values
        ]


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's response in an evaluation, with the graders' and judges' verdicts."""

    suite: str
    model: str
    prompt: str
    response: str
    verdicts: Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class ReportedGate:
    """A gate and its result; `passed` is None if its metric was not measured."""

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
    """Everything read from the folders."""

    title: str
    stages: tuple[ReportedStage, ...] = ()
    results: tuple[EvalResult, ...] = ()
    answers: tuple[Answer, ...] = ()
    gates: tuple[ReportedGate, ...] = ()
    models: tuple[str, ...] = ()  # compared models; the first is the baseline
    status: str | None = None  # the recipe's, if there is one
    read_errors: tuple[str, ...] = ()  # files or lines that are missing from the report

    @property
    def training_stages(self) -> tuple[ReportedStage, ...]:
        """The stages that train weights."""
        return tuple(stage for stage in self.stages if stage.is_training)
