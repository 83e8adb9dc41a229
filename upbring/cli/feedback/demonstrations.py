"""`upbring best-of-n` and `upbring teacher`: demonstrations that a model wrote."""

from upbring.settings.commands.demonstrations import BestOfNSettings, TeacherSettings
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.scorecard import legend, print_scorecard
from upbring.stages.feedback.best_of_n import collect_best_of_n
from upbring.stages.feedback.demonstrations import DemonstrationFiles
from upbring.stages.feedback.teacher import collect_from_teacher
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run_best_of_n(resolved: Resolved[BestOfNSettings]) -> None:
    """Write the best responses, and print their figures."""
    settings, error = resolved.settings, Console(stderr=True)
    log, track = make_log(error), make_tracker(error)
    _print(collect_best_of_n(settings, settings.to, log=log, track=track), settings.model)


def run_teacher(resolved: Resolved[TeacherSettings]) -> None:
    """Write the teacher's responses, and print their figures."""
    settings, error = resolved.settings, Console(stderr=True)
    log, track = make_log(error), make_tracker(error)
    _print(collect_from_teacher(settings, settings.to, log=log, track=track), settings.model)


def _print(found: DemonstrationFiles, model: str) -> None:
    """Print the figures and the next command."""
    console = Console()
    print_scorecard(console, found.results, (model,))
    log = make_log(console)
    for line in legend(found.results, (model,)):
        log(line)
    log(f"{found.demonstrations}: train with `upbring sft`")
