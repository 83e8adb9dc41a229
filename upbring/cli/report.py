"""`upbring report`: write one page about runs."""

from functools import partial

from upbring.report.build import write_report
from upbring.settings.commands.report import ReportSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.tracking import track_call
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker


def run(resolved: Resolved[ReportSettings]) -> None:
    """Write the report and print its headline."""
    settings = resolved.settings
    log, track = make_log(Console()), make_tracker(Console(stderr=True))
    write = partial(write_report, settings.run, settings.to or settings.run[0])
    report = track_call(track, "writing the report", write)
    log(report.verdict.headline)
    for read_error in report.read_errors:
        log(f"skipped: {read_error}")
    log(f"{report.html_path}: the report; {report.json_path.name} beside it has every number")
