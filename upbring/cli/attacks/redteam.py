"""`upbring redteam`: attack models; print a table and write every number to a folder."""

from upbring.runs.results import ANSWERS, RESULTS
from upbring.settings.commands.redteam import RedteamSettings
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.scorecard import legend
from upbring.stages.redteam.attack_table import attack_table
from upbring.stages.redteam.redteam import redteam
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[RedteamSettings]) -> None:
    """Attack, print a table per model and the paths of the results."""
    settings = resolved.settings
    console, error = Console(), Console(stderr=True)
    results = redteam(settings, log=make_log(error), track=make_tracker(error))
    log = make_log(console)
    for model in settings.model:
        log(f"{model}:")
        console.print(attack_table(results, model))
    for line in legend(results, ()):
        log(line)
    log(f"all numbers and responses: {settings.to / RESULTS} and {settings.to / ANSWERS}")
