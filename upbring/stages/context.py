"""The context of a stage, and the parts of a stage that each method implements."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from upbring.durable import JSON
from upbring.errors import format_command
from upbring.interruption import Interruption
from upbring.judge.row_function import RowFunction
from upbring.model.load import LoadedModel, ModelFiles
from upbring.runs.callback import Callback
from upbring.runs.contract import Contract
from upbring.runs.run_folder import Run
from upbring.settings.resolve import Resolved
from upbring.settings.stage import StageSettings
from upbring.stages.dataset import Dataset, Log, make_dataset
from upbring.stages.encode import Preprocessor
from upbring.stages.registry import Method, load_implementation
from upbring.terminal import Console
from upbring.tracking import Track, no_tracking
from upbring.train import processes
from upbring.train.algorithm import Algorithm
from upbring.train.devices import Machine
from upbring.train.progress import Band, Display

POLICY = "policy"
WeightedFunctions = tuple[tuple[RowFunction, float], ...]


class MakePreprocessor(Protocol):
    """Makes the preprocessor of a stage; `started_at` is the start of a resumed run."""

    def __call__(
        self,
        settings: Any,  # noqa: ANN401 -- each method's own
        files: ModelFiles,
        *,
        log: Log,
        started_at: dt.datetime | None,
    ) -> Preprocessor:
        """Return the preprocessor."""


class LoadDataset(Protocol):
    """Encodes the files that the settings name as trees of tokens."""

    def __call__(
        self,
        settings: Any,  # noqa: ANN401 -- each method's own
        preprocessor: Preprocessor,
        *,
        log: Log,
        poll: Callable[[], None],
        track: Track,
    ) -> Dataset:
        """Return the training rows and the held-out rows."""


def dataset_from_files(
    settings: StageSettings,
    preprocessor: Preprocessor,
    *,
    log: Log,
    poll: Callable[[], None],
    track: Track,
) -> Dataset:
    """Return the trees of tokens from the files of `data`, `mix` and `held_out`."""
    encoder = preprocessor.encoder
    return make_dataset(settings, encoder, seed=settings.seed, log=log, poll=poll, track=track)


@dataclass(frozen=True, eq=False)
class Implementation:
    """The parts of a stage that depend on the method; the defaults are those of SFT."""

    summary: str  # of the trained model, for the model card
    make_preprocessor: MakePreprocessor
    make_algorithm: Callable[["StageContext", str], Algorithm[Any]]  # of the trainable role
    load_dataset: LoadDataset = dataset_from_files
    role: str = POLICY  # the name of the trainable adapter
    # Whether responses to held-out prompts are sampled if the user names no sample prompts.
    samples_held_out_prompts: bool = True
    # Called before a trainable role is added to the base.
    check_settings: Callable[["StageContext"], None] = lambda _: None
    # Further values that a training step depends on.
    extra_identity: Callable[["StageContext"], dict[str, JSON]] = lambda _: {}
    extend_contract: Callable[["StageContext", Contract], Contract] = lambda _, agreed: agreed
    # For a model with a file layout of its own.
    write_model: Callable[["StageContext", str, Path, Contract], None] | None = None
    # Measures the finished model.
    finish: Callable[["StageContext", str, Run], None] = lambda *_: None
    # The reward models and judges whose numbers the model card shows.
    judges: Callable[["StageContext"], Sequence[str]] = lambda _: ()
    next_command: Callable[[Run], str] = lambda run: format_command("chat", run.path)
    healthy_ranges: Mapping[str, Band] = field(default_factory=dict)  # healthy ranges of metrics
    has_reference: bool = False  # scores all rows before the first step


@dataclass(frozen=True, eq=False)
class StageContext:
    """The objects that a stage works with."""

    method: Method
    resolved: Resolved[StageSettings]
    machine: Machine
    loaded: LoadedModel
    preprocessor: Preprocessor
    dataset: Dataset
    interruption: Interruption
    log: Log
    console: Console  # shared with `log`, so that messages appear above the progress bar
    display: Display | None = None  # the live view of a pipeline
    reward_functions: WeightedFunctions = ()  # of a method that samples responses
    callbacks: tuple[Callback, ...] = ()  # from the caller of `train`
    baseline_memory: int = 0  # bytes of the process before the weights were read
    track: Track = no_tracking  # shows the progress of long work outside of training steps

    @cached_property
    def implementation(self) -> Implementation:
        """The implementation of the method."""
        implementation: Implementation = load_implementation(self.method)
        return implementation

    @property
    def settings(self) -> Any:  # noqa: ANN401 -- each method's own
        """The settings of the stage."""
        return self.resolved.settings

    def poll(self) -> None:
        """Raise if an interruption was requested; several processes stop only between steps."""
        if processes.process_group().world_size == 1:
            self.interruption.poll()
