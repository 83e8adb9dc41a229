"""`upbring runs`: list the runs in a folder."""

from rich.console import Console

from upbring.runs.run_folder import summarize_runs
from upbring.settings.commands.runs import RunsSettings
from upbring.settings.resolve import Resolved
from upbring.train.table_layouts import print_table, table_layouts


def run(resolved: Resolved[RunsSettings]) -> None:
    """Print a table of all runs."""
    folder = resolved.settings.runs
    console = Console()
    summaries = summarize_runs(folder)
    if not summaries:
        console.print(f"{folder}: no runs yet; start one with `upbring sft`", markup=False)
        return
    rows = [
        (
            summary.name,
            summary.status,
            f"{summary.step}/{summary.steps or '?'}",
            "" if summary.loss is None else f"{summary.loss:.4f}",
            summary.started_at.astimezone().strftime("%Y-%m-%d %H:%M"),
        )
        for summary in summaries
    ]
    headings = ("run", "status", "steps", "loss", "started")
    print_table(console, [*table_layouts(headings, rows, optional=("started", "loss"))])
