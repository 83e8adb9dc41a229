"""`upbring resume`: resume an interrupted run."""

import contextlib
from pathlib import Path

from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.runs.start_directory import find_run_directory
from upbring.settings.commands.resume import ResumeSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.registry import find_method, load_settings
from upbring.stages.train_or_resume import train
from upbring.terminal import Console


def run(resolved: Resolved[ResumeSettings]) -> None:
    """Find the run and resume it with the settings in its folder."""
    settings = resolved.settings
    if settings.run is None:
        interrupted = Run.newest_interrupted(settings.runs)
    else:
        interrupted = Run.open(_run_path(settings))
    if interrupted.status() == "finished":
        raise InputError(f"{interrupted.path}: is finished; its model is in {interrupted.model}")
    method = find_method(str(interrupted.read_metadata()["method"]))
    flags = {} if settings.processes is None else {"processes": str(settings.processes)}
    resumed = resolve(
        load_settings(method), section=method.name, file=interrupted.settings_file, flags=flags
    )
    directory = find_run_directory(interrupted, resumed.settings)
    if directory != Path.cwd():
        interrupted = Run(interrupted.path.absolute())
        Console(stderr=True).print(
            f"{interrupted.path}: was started in {directory}; relative paths are resolved there",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    with contextlib.chdir(directory):
        train(method.name, resumed, resumed=interrupted, allow_change=settings.allow_change)


def _run_path(settings: ResumeSettings) -> Path:
    """Return the run's folder, given as a path or by its name."""
    path = Path(str(settings.run))
    return path if path.exists() or len(path.parts) > 1 else settings.runs / path
