"""`upbring report`: write one page about runs."""

from upbring.report.build import write_report
from upbring.settings.commands.report import ReportSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console


def run(resolved: Resolved[ReportSettings]) -> None:
    """Write the report and print its headline."""
    settings = resolved.settings
    console = Console(soft_wrap=True, highlight=False, markup=False)
    report = write_report(settings.run, settings.to or settings.run[0])
    console.print(report.verdict.headline)
    for read_error in report.read_errors:
        console.print(f"skipped: {read_error}")
    console.print(
        f"{report.html_path}: the report; {report.json_path.name} beside it has every number"
    )
