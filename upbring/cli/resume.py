"""`upbring resume`: go on with an interrupted run."""

import contextlib
from pathlib import Path

from rich.console import Console

from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.settings.command_table import imported, verbs
from upbring.settings.commands.resume import ResumeSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.run import train
from upbring.stages.run_directory import directory_of


def run(resolved: Resolved[ResumeSettings]) -> None:
    """Find the run and go on with it, by the settings in its folder."""
    settings = resolved.settings
    if settings.run is None:
        found = Run.newest_unfinished(settings.runs)
    else:
        found = Run.open(_path(settings))
    if found.status() == "finished":
        raise InputError(f"{found.path}: is finished; its model is in {found.model}")
    verb = str(found.facts()["verb"])
    kind = imported(verbs()[verb].settings)
    flags = {} if settings.processes is None else {"processes": str(settings.processes)}
    again = resolve(kind, section=verb, file=found.settings_file, flags=flags)
    place = directory_of(found, again.settings)
    if place != Path.cwd():
        found = Run(found.path.absolute())
        Console(stderr=True).print(
            f"{found.path}: was begun in {place}, so its files are taken from there",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    with contextlib.chdir(place):
        train(verb, again, resumed=found, allow_change=settings.allow_change)


def _path(settings: ResumeSettings) -> Path:
    """Return the run's folder, given as a path or as its name alone."""
    path = Path(str(settings.run))
    return path if path.exists() else settings.runs / path
