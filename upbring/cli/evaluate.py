"""`upbring evaluate`: evaluate models; print a table and write every number to a folder."""

from functools import partial

from upbring.runs.results import ANSWERS, RESULTS
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.evaluate import evaluate
from upbring.stages.evaluation.human_judge import votes_waiting_text
from upbring.stages.evaluation.reward_judge import make_reward_scorer
from upbring.stages.evaluation.scorecard import legend, print_scorecard
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[EvaluateSettings]) -> None:
    """Evaluate, print the table and the paths of the results."""
    settings = resolved.settings
    console, error = Console(), Console(stderr=True)
    log, track = make_log(console), make_tracker(error)
    make_scorer = partial(make_reward_scorer, settings, track=track)
    results = evaluate(settings, log=make_log(error), track=track, make_scorer=make_scorer)
    print_scorecard(console, results, settings.models)
    for line in legend(results, settings.models):
        log(line)
    if (waiting_text := votes_waiting_text(settings)) is not None:
        log(waiting_text)
    log(f"all numbers and responses: {settings.to / RESULTS} and {settings.to / ANSWERS}")
