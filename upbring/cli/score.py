"""`upbring score`: score responses with a reward model, or with an ensemble."""

import sys

from upbring import durable
from upbring.errors import InputError
from upbring.settings.commands.score import ScoreSettings
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.score_file import format_line, score_files
from upbring.terminal import Console
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ScoreSettings]) -> None:
    """Score every response and print a summary."""
    settings = resolved.settings
    console = Console(stderr=True)
    log, track = make_log(console), make_tracker(console)
    if settings.to is not None and settings.to.exists():
        raise InputError(f"{settings.to}: exists already; choose another --to")
    rows, summary = score_files(settings, log=log, track=track)
    written = [format_line(row) for row in rows]
    if settings.to is None:
        sys.stdout.write("".join(written))
    else:
        with durable.explain_os_errors(settings.to):
            settings.to.parent.mkdir(parents=True, exist_ok=True)
        durable.write_text(settings.to, "".join(written))
    for line in summary.format_lines():
        log(line)
