"""Training from Python: one run of a method, any method by name, and the resumption of a run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.api.arguments import ModelLike, resolve_arguments
from upbring.api.calls import runs_models
from upbring.api.notebook import make_display, make_log
from upbring.api.rows import Data
from upbring.api.run import Run
from upbring.errors import InputError
from upbring.runs.callback import Callback
from upbring.runs.run_folder import Run as RunFolder
from upbring.stages.registry import find_method, load_settings
from upbring.stages.reward_functions import RewardSource
from upbring.stages.train_or_resume import resume_in_start_directory
from upbring.stages.train_or_resume import train as train_stage

Rewards = RewardSource | Sequence[RewardSource] | None


@dataclass(frozen=True)
class TrainingArguments:
    """The arguments of a training function: values of settings, and objects of the caller."""

    settings: dict[str, object]
    rewards: tuple[RewardSource, ...]
    callbacks: tuple[Callback, ...]


@runs_models
def train_method(method: str, arguments: Mapping[str, object]) -> Run:
    """Train a model by a method and return the run."""
    given = split_arguments(method, arguments)
    resolved = resolve_arguments(
        load_settings(find_method(method)), command=method, arguments=given.settings
    )
    run = train_stage(
        method,
        resolved,
        live_view=make_display(),
        rewards=given.rewards,
        callbacks=given.callbacks,
    )
    return Run(run.path)


def train(
    method: str,
    model: ModelLike,
    data: Data,
    *,
    reward: Rewards = None,
    callbacks: Sequence[Callback] = (),
    **settings: object,
) -> Run:
    """Train by any method of the registry, also by one of another package.

    `data` are the rows that the method learns from, for an RL method the prompts. `settings` are
    the method's own, as in `upbring METHOD --help`, with underscores.
    """
    return _train_by_name(
        method, model, data, settings | {"reward": reward, "callbacks": callbacks}
    )


@runs_models
def _train_by_name(method: str, model: ModelLike, data: Data, arguments: dict[str, object]) -> Run:
    positional = find_method(method).positional
    return train_method(method, {"model": model, positional: data, **arguments})


@runs_models
def resume(
    run: str | os.PathLike[str] | None = None,
    *,
    runs: str | os.PathLike[str] = "runs",
    processes: int | None = None,
    allow_change: str | Sequence[str] = (),
    reward: Rewards = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Resume an interrupted run; the result is bit-identical to an uninterrupted one.

    Args:
        run: The run, its folder, or its name in `runs`. None: the newest interrupted one.
        runs: Folder of the runs.
        processes: Number of processes. None: as many as before.
        allow_change: Names of settings that may differ from the checkpoint's.
        reward: The reward functions that were given to the run, which it cannot record.
        callbacks: Objects that the run calls with its metrics and samples.
    """
    folder = RunFolder.newest_interrupted(Path(runs)) if run is None else _find_run(run, Path(runs))
    names = (allow_change,) if isinstance(allow_change, str) else tuple(allow_change)
    functions = [each for each in as_rewards(reward) if not _is_named(each)]
    resume_in_start_directory(
        folder,
        log=make_log(),
        processes=processes,
        allow_change=names,
        live_view=make_display(),
        rewards=functions,
        callbacks=callbacks,
    )
    return Run(folder.path)


def split_arguments(method: str, arguments: Mapping[str, object]) -> TrainingArguments:
    """Separate reward functions and callbacks from the settings.

    A reward that is given by its name becomes a setting, which the run records.
    """
    settings = {k: v for k, v in arguments.items() if k not in {"reward", "callbacks"}}
    rewards = as_rewards(arguments.get("reward"))
    if rewards and find_method(method).learns_from != "prompts":
        raise InputError(f"reward: {method} samples no responses; use a method such as ppo or grpo")
    named = [each for each in rewards if _is_named(each)]
    if named:
        setting = settings.get("reward_function", ())
        earlier = list(setting) if isinstance(setting, list | tuple) else [setting]
        settings["reward_function"] = [*earlier, *named]
    callbacks = arguments.get("callbacks") or ()
    if not isinstance(callbacks, list | tuple):
        raise InputError("callbacks: is not a list; give a list, such as [callback]")
    functions = tuple(each for each in rewards if not _is_named(each))
    return TrainingArguments(settings, functions, tuple(callbacks))


def as_rewards(reward: object) -> list[RewardSource]:
    """Return the rewards of an argument: one, or a list of them."""
    if reward is None:
        return []
    return list(reward) if isinstance(reward, list) else [reward]  # type: ignore[list-item]  # checked by `train`


def _is_named(reward: RewardSource) -> bool:
    """Whether a reward is given by its name, perhaps with a weight."""
    return isinstance(reward[0] if isinstance(reward, tuple) else reward, str)


def _find_run(run: str | os.PathLike[str], runs: Path) -> RunFolder:
    path = Path(run)
    return RunFolder.open(path if path.exists() or len(path.parts) > 1 else runs / path)
