"""Training from Python: one run of a method, any method by name, and the resumption of a run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from upbring.api.arguments import ModelLike, resolve_arguments
from upbring.api.calls import runs_models
from upbring.api.notebook import make_display, make_log
from upbring.api.rows import Data
from upbring.api.run import Run
from upbring.runs.run_folder import Run as RunFolder
from upbring.stages.registry import find_method, load_settings
from upbring.stages.train_or_resume import resume_in_start_directory
from upbring.stages.train_or_resume import train as train_stage


@runs_models
def train_method(method: str, arguments: Mapping[str, object]) -> Run:
    """Train a model by a method and return the run."""
    resolved = resolve_arguments(
        load_settings(find_method(method)), command=method, arguments=arguments
    )
    return Run(train_stage(method, resolved, live_view=make_display()).path)


@runs_models
def train(method: str, model: ModelLike, data: Data, **settings: object) -> Run:
    """Train by any method of the registry, also by one of another package.

    `data` are the rows that the method learns from, for an RL method the prompts. `settings` are
    the method's own, as in `upbring METHOD --help`, with underscores.
    """
    positional = find_method(method).positional
    return train_method(method, {"model": model, positional: data, **settings})


@runs_models
def resume(
    run: str | os.PathLike[str] | None = None,
    *,
    runs: str | os.PathLike[str] = "runs",
    processes: int | None = None,
    allow_change: str | Sequence[str] = (),
) -> Run:
    """Resume an interrupted run; the result is bit-identical to an uninterrupted one.

    Args:
        run: The run, its folder, or its name in `runs`. None: the newest interrupted one.
        runs: Folder of the runs.
        processes: Number of processes. None: as many as before.
        allow_change: Names of settings that may differ from the checkpoint's.
    """
    folder = RunFolder.newest_interrupted(Path(runs)) if run is None else _find_run(run, Path(runs))
    names = (allow_change,) if isinstance(allow_change, str) else tuple(allow_change)
    resume_in_start_directory(
        folder,
        log=make_log(),
        processes=processes,
        allow_change=names,
        live_view=make_display(),
    )
    return Run(folder.path)


def _find_run(run: str | os.PathLike[str], runs: Path) -> RunFolder:
    path = Path(run)
    return RunFolder.open(path if path.exists() or len(path.parts) > 1 else runs / path)
