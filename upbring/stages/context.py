"""Who takes part in a stage, and what a method adds of its own to what all stages do."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from upbring.algorithms.sample_round import RewardFunction
from upbring.durable import JSON
from upbring.interruption import Interruption
from upbring.model.load import LoadedModel, ModelFiles
from upbring.runs.contract import Contract
from upbring.runs.run_folder import Run
from upbring.settings.resolve import Resolved
from upbring.settings.stage import StageSettings
from upbring.stages.dataset import Dataset, Log, make_dataset
from upbring.stages.encode import Preprocessor
from upbring.stages.registry import Method, load_implementation
from upbring.train import processes
from upbring.train.algorithm import Algorithm
from upbring.train.devices import Machine
from upbring.train.progress import Band, Display
from upbring.train.work_progress import Track, make_tracker

POLICY = "policy"


class MakePreprocessor(Protocol):
    """Says how text and tokens meet; `started_at` is the day on which the run did."""

    def __call__(
        self,
        settings: Any,  # noqa: ANN401 -- each method's own
        files: ModelFiles,
        *,
        log: Log,
        started_at: dt.datetime | None,
    ) -> Preprocessor:
        """Return the speech of a stage."""


class LoadDataset(Protocol):
    """Turns the files that the settings name into trees."""

    def __call__(
        self,
        settings: Any,  # noqa: ANN401 -- each method's own
        preprocessor: Preprocessor,
        *,
        log: Log,
        poll: Callable[[], None],
    ) -> Dataset:
        """Return what is learned from and what is held out."""


def dataset_from_files(
    settings: StageSettings, preprocessor: Preprocessor, *, log: Log, poll: Callable[[], None]
) -> Dataset:
    """Return the trees of the files of `data`, `mix` and `held_out`."""
    return make_dataset(settings, preprocessor.encoder, seed=settings.seed, log=log, poll=poll)


@dataclass(frozen=True, eq=False)
class Implementation:
    """What a method adds to a stage. A field that is left out does what SFT does."""

    summary: str  # of the model that it makes, for the model card
    make_preprocessor: MakePreprocessor
    make_algorithm: Callable[["StageContext", str], Algorithm[Any]]  # of the role that learns
    load_dataset: LoadDataset = dataset_from_files
    role: str = POLICY  # the name of the adapter that learns
    samples_held_out_prompts: bool = (
        True  # whether held-out prompts are answered where the user names none
    )
    check_settings: Callable[["StageContext"], None] = lambda _: (
        None
    )  # what must be on the base before it learns
    extra_identity: Callable[["StageContext"], dict[str, JSON]] = (
        lambda _: {}
    )  # what more decides about a step
    extend_contract: Callable[["StageContext", Contract], Contract] = lambda _, agreed: agreed
    write_model: Callable[["StageContext", str, Path, Contract], None] | None = (
        None  # the model's own layout
    )
    finish: Callable[["StageContext", str, Run], None] = lambda *_: (
        None
    )  # evidence on the finished model
    next_command: Callable[[Run], str] = lambda run: f"`upbring chat {run.path}`"
    healthy_ranges: Mapping[str, Band] = field(default_factory=dict)  # healthy ranges of metrics
    has_reference: bool = False  # whether a reference scores all rows before the first step


@dataclass(frozen=True, eq=False)
class StageContext:
    """Everyone who takes part in a stage."""

    method: Method
    resolved: Resolved[StageSettings]
    machine: Machine
    loaded: LoadedModel
    preprocessor: Preprocessor
    dataset: Dataset
    interruption: Interruption
    log: Log
    console: Console  # where `log` speaks too, so that it speaks above the bar
    display: Display | None = None  # which shows this stage among others
    reward: RewardFunction | None = (
        None  # a function that a user of the library rewards responses by
    )
    baseline_memory: int = 0  # bytes of the process before the weights were read

    @cached_property
    def implementation(self) -> Implementation:
        """What the method adds to the stage."""
        implementation: Implementation = load_implementation(self.method)
        return implementation

    @property
    def settings(self) -> Any:  # noqa: ANN401 -- each method's own
        """What the user asked for."""
        return self.resolved.settings

    @cached_property
    def track(self) -> Track:
        """Show how far work is that is not a training step, if it takes long."""
        return make_tracker(self.console)

    def poll(self) -> None:
        """Stop an evaluation midway if asked; several processes stop together, between steps."""
        if processes.process_group().world_size == 1:
            self.interruption.poll()
