"""Find the run that `upbring resume` continues."""

from pathlib import Path

from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.settings.commands.resume import ResumeSettings


def find_run_to_resume(settings: ResumeSettings) -> Run:
    """Return the run that is named, or the newest interrupted one; it is not finished."""
    if settings.run is None:
        return Run.newest_interrupted(settings.runs)
    path = Path(settings.run)
    run = Run.open(path if path.exists() or len(path.parts) > 1 else settings.runs / path)
    if run.status() == "finished":
        raise InputError(f"{run.path}: is finished; its model is in {run.model}")
    return run
