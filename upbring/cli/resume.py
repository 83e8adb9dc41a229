"""`upbring resume`: resume an interrupted run."""

from functools import partial
from pathlib import Path

from rich.console import Console

from upbring.runs.run_folder import Run
from upbring.settings.commands.resume import ResumeSettings
from upbring.settings.resolve import Resolved
from upbring.stages.train_or_resume import resume_in_start_directory


def run(resolved: Resolved[ResumeSettings]) -> None:
    """Find the run and resume it with the settings in its folder."""
    settings = resolved.settings
    if settings.run is None:
        interrupted = Run.newest_interrupted(settings.runs)
    else:
        interrupted = Run.open(_run_path(settings))
    resume_in_start_directory(
        interrupted,
        log=partial(Console(stderr=True).print, markup=False, highlight=False, soft_wrap=True),
        processes=settings.processes,
        allow_change=settings.allow_change,
    )


def _run_path(settings: ResumeSettings) -> Path:
    """Return the run's folder, given as a path or by its name."""
    path = Path(str(settings.run))
    return path if path.exists() or len(path.parts) > 1 else settings.runs / path
