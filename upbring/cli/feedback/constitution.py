"""`upbring constitution`: preferences and demonstrations from written principles."""

from upbring.settings.constitution import ConstitutionSettings
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.scorecard import legend, print_scorecard
from upbring.stages.feedback.constitution import collect_by_principles
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ConstitutionSettings]) -> None:
    """Write the rows, and print the figures of the judge and the guards."""
    settings = resolved.settings
    console, error = Console(), Console(stderr=True)
    log = make_log(console)
    found = collect_by_principles(
        settings, settings.to, log=make_log(error), track=make_tracker(error)
    )
    print_scorecard(console, found.results, (settings.model,))
    for line in legend(found.results, (settings.model,)):
        log(line)
    for path in (found.comparisons, found.demonstrations):
        if path is not None:
            log(f"{path}: train with `upbring {'dpo' if path == found.comparisons else 'sft'}`")
