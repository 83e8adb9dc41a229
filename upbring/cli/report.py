"""`upbring report`: one page that shows what runs did."""

from rich.console import Console

from upbring.report.build import report
from upbring.settings.commands.report import ReportSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[ReportSettings]) -> None:
    """Write the report and tell what it comes to."""
    settings = resolved.settings
    console = Console(soft_wrap=True, highlight=False, markup=False)
    made = report(settings.run, settings.to or settings.run[0])
    console.print(made.verdict.headline)
    for fault in made.faults:
        console.print(f"left out: {fault}")
    console.print(f"{made.html}: the report; {made.numbers.name} beside it holds every number")
