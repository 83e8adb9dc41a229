"""`upbring evaluate`: evaluate models; print a table and write every number to a folder."""

from functools import partial

from rich.console import Console

from upbring.runs.results import ANSWERS, RESULTS
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.evaluate import evaluate
from upbring.stages.evaluation.human_judge import votes_waiting_text
from upbring.stages.evaluation.reward_judge import make_reward_scorer
from upbring.stages.evaluation.scorecard import legend, scorecard


def run(resolved: Resolved[EvaluateSettings]) -> None:
    """Evaluate, print the table and the paths of the results."""
    settings = resolved.settings
    console = Console()
    error = Console(stderr=True)

    def log(text: str) -> None:
        error.print(text, markup=False, highlight=False, soft_wrap=True)

    results = evaluate(settings, log=log, make_scorer=partial(make_reward_scorer, settings))
    console.print(scorecard(results, settings.models))
    for line in legend(results, settings.models):
        console.print(line)
    if (waiting_text := votes_waiting_text(settings)) is not None:
        console.print(waiting_text, markup=False, soft_wrap=True)
    paths = f"{settings.to / RESULTS} and {settings.to / ANSWERS}"
    console.print(f"all numbers and responses: {paths}", markup=False, soft_wrap=True)
