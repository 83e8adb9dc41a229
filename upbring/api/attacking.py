"""Attacks from Python: red teaming, and hardening a model."""

from collections.abc import Mapping
from pathlib import Path

from upbring.api.arguments import resolve_arguments
from upbring.api.calls import runs_models
from upbring.api.evaluation import Evaluation, make_evaluation
from upbring.api.notebook import make_log
from upbring.settings.commands.harden import HardenSettings
from upbring.settings.commands.redteam import RedteamSettings


@runs_models
def attack_models(command: str, arguments: Mapping[str, object]) -> Evaluation:
    """Attack models."""
    from upbring.stages.redteam.redteam import redteam  # noqa: PLC0415 -- torch

    settings = resolve_arguments(RedteamSettings, command=command, arguments=arguments).settings
    return make_evaluation(redteam(settings, log=make_log()), settings.model, settings.to)


@runs_models
def harden_model(command: str, arguments: Mapping[str, object]) -> Path:
    """Harden a model."""
    from upbring.stages.redteam.harden import harden  # noqa: PLC0415 -- torch

    settings = resolve_arguments(HardenSettings, command=command, arguments=arguments).settings
    harden(settings, log=make_log())
    return settings.to
