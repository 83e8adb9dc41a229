"""`upbring harden`: attack, train on what succeeded, measure, until attacks fail."""

from upbring.errors import format_command
from upbring.runs.results import read_results
from upbring.settings.commands.harden import HardenSettings
from upbring.settings.resolve import Resolved
from upbring.stages.redteam.attack_table import attack_table
from upbring.stages.redteam.harden import MEASURE, harden
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[HardenSettings]) -> None:
    """Harden the model; print the tables before and after, and what to do next."""
    settings = resolved.settings
    console, error = Console(), Console(stderr=True)
    harden(settings, log=make_log(error), track=make_tracker(error))
    log = make_log(console)
    results = read_results(settings.to / MEASURE)
    models = list(dict.fromkeys(each.model for each in results))
    for model in (models[0], models[-1]):
        log(f"{model}:")
        console.print(attack_table(results, model))
    log(f"report: {format_command('report', settings.to / MEASURE)}")
    log(f"chat with it: {format_command('chat', settings.to)}")
