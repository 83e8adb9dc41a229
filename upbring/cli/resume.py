"""`upbring resume`: resume an interrupted run."""

from functools import partial

from upbring.cli.preflight.find_run import find_run_to_resume
from upbring.settings.commands.resume import ResumeSettings
from upbring.settings.resolve import Resolved
from upbring.stages.train_or_resume import resume_in_start_directory
from upbring.terminal import Console


def run(resolved: Resolved[ResumeSettings]) -> None:
    """Find the run and resume it with the settings in its folder."""
    settings = resolved.settings
    resume_in_start_directory(
        find_run_to_resume(settings),
        log=partial(Console(stderr=True).print, markup=False, highlight=False, soft_wrap=True),
        processes=settings.processes,
        allow_change=settings.allow_change,
    )
