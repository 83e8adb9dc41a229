"""Who takes part in a stage, and what a verb adds of its own to what all stages do."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from upbring.algorithms.rollout_batch import Reward
from upbring.durable import JSON
from upbring.interruption import Interruption
from upbring.model.load import Loaded
from upbring.runs.contract import Contract, Kind
from upbring.runs.run_folder import Run
from upbring.settings.resolve import Resolved
from upbring.settings.stage import StageSettings
from upbring.stages.dataset import Dataset, Notice, make_dataset
from upbring.stages.encode import Speech
from upbring.train import processes
from upbring.train.algorithm import Algorithm
from upbring.train.devices import Machine
from upbring.train.progress import Band, Display

POLICY = "policy"


class MakesSpeech(Protocol):
    """Says how text and tokens meet; `began` is the day on which the run did."""

    def __call__(
        self,
        settings: Any,  # noqa: ANN401 -- each verb's own
        loaded: Loaded,
        *,
        notice: Notice,
        began: dt.datetime | None,
    ) -> Speech:
        """Return the speech of a stage."""


class MakesDataset(Protocol):
    """Turns the files that the settings name into trees."""

    def __call__(
        self,
        settings: Any,  # noqa: ANN401 -- each verb's own
        speech: Speech,
        *,
        notice: Notice,
        poll: Callable[[], None],
    ) -> Dataset:
        """Return what is learned from and what is held out."""


def files(
    settings: StageSettings, speech: Speech, *, notice: Notice, poll: Callable[[], None]
) -> Dataset:
    """Return the trees of the files of `data`, `mix` and `held_out`."""
    return make_dataset(settings, speech.encoder, seed=settings.seed, notice=notice, poll=poll)


@dataclass(frozen=True, eq=False)
class Craft:
    """What a verb adds to a stage. What is left out does as fine-tuning does."""

    verb: str
    kind: Kind  # of the contract that it writes
    summary: str  # of the model that it makes, for the model card
    speech: MakesSpeech
    algorithm: Callable[["Cast", str], Algorithm]  # of the role that learns
    dataset: MakesDataset = files
    role: str = POLICY  # the name of the adapter that learns
    answers: bool = True  # whether held-out prompts are answered where the user names none
    prepare: Callable[["Cast"], None] = lambda _: None  # what must be on the base before it learns
    identity: Callable[["Cast"], dict[str, JSON]] = lambda _: {}  # what more decides about a step
    contract: Callable[["Cast", Contract], Contract] = lambda _, agreed: agreed
    write: Callable[["Cast", str, Path, Contract], None] | None = None  # the model's own layout
    finish: Callable[["Cast", str, Run], None] = lambda *_: None  # evidence on the finished model
    next_step: Callable[[Run], str] = lambda run: f"`upbring chat {run.path}`"
    bands: Mapping[str, Band] = field(default_factory=dict)  # healthy ranges of metrics
    shown: tuple[str, ...] = ("loss", "learning_rate")  # metrics on the bar
    demand: Callable[["Cast"], Any] | None = None  # for a plan, if it does not learn from rows


@dataclass(frozen=True, eq=False)
class Cast:
    """Everyone who takes part in a stage."""

    craft: Craft
    resolved: Resolved[StageSettings]
    machine: Machine
    loaded: Loaded
    speech: Speech
    dataset: Dataset
    interruption: Interruption
    say: Notice
    console: Console  # where `say` speaks too, so that it speaks above the bar
    display: Display | None = None  # which shows this stage among others
    planned: Any = None  # what it is to take, for whoever has to say that it takes more
    reward: Reward | None = None  # a function that a user of the library rewards responses by

    @property
    def settings(self) -> Any:  # noqa: ANN401 -- each verb's own
        """What the user asked for."""
        return self.resolved.settings

    def poll(self) -> None:
        """Stop an evaluation midway if asked; several processes stop together, between steps."""
        if processes.place().count == 1:
            self.interruption.poll()
