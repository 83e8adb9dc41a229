"""Training data made by models, from Python: rankings, labels by principles, demonstrations."""

from collections.abc import Mapping
from pathlib import Path

from upbring.api.arguments import resolve_arguments
from upbring.api.calls import runs_models
from upbring.api.notebook import make_log
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.demonstrations import BestOfNSettings, TeacherSettings
from upbring.settings.constitution import ConstitutionSettings


@runs_models
def make_constitution(command: str, arguments: Mapping[str, object]) -> Path:
    """Make comparisons and demonstrations from principles; return the folder."""
    from upbring.stages.feedback.constitution import collect_by_principles  # noqa: PLC0415 -- torch

    settings = resolve_arguments(
        ConstitutionSettings, command=command, arguments=arguments
    ).settings
    return collect_by_principles(settings, settings.to, log=make_log()).folder


@runs_models
def keep_best_of_n(command: str, arguments: Mapping[str, object]) -> Path:
    """Make demonstrations of the best responses; return their file."""
    from upbring.stages.feedback.best_of_n import collect_best_of_n  # noqa: PLC0415 -- torch

    settings = resolve_arguments(BestOfNSettings, command=command, arguments=arguments).settings
    return collect_best_of_n(settings, settings.to, log=make_log()).demonstrations


@runs_models
def ask_teacher(command: str, arguments: Mapping[str, object]) -> Path:
    """Make demonstrations of a teacher's responses; return their file."""
    from upbring.stages.feedback.teacher import collect_from_teacher  # noqa: PLC0415 -- torch

    settings = resolve_arguments(TeacherSettings, command=command, arguments=arguments).settings
    return collect_from_teacher(settings, settings.to, log=make_log()).demonstrations


@runs_models
def collect_rankings(command: str, arguments: Mapping[str, object]) -> Path | None:
    """Collect rankings."""
    from upbring.pipeline.other_stages import collect_or_wait  # noqa: PLC0415 -- torch
    from upbring.stages.collection.collect import rankings_waiting_text  # noqa: PLC0415 -- torch

    settings = resolve_arguments(CollectSettings, command=command, arguments=arguments).settings
    log = make_log()
    rankings = collect_or_wait(settings, settings.to, log=log)
    if rankings is None:
        log(rankings_waiting_text(settings, settings.to))
    return rankings
