"""`upbring runs`: list the runs in a folder."""

from rich.markup import escape
from rich.table import Table

from upbring.runs.run_folder import summarize_runs
from upbring.settings.commands.runs import RunsSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console


def run(resolved: Resolved[RunsSettings]) -> None:
    """Print a table of all runs."""
    folder = resolved.settings.runs
    console = Console()
    summaries = summarize_runs(folder)
    if not summaries:
        console.print(f"{folder}: no runs yet; start one with `upbring sft`", markup=False)
        return
    table = Table("run", "status", "steps", "loss", "started", box=None, pad_edge=False)
    for summary in summaries:
        table.add_row(
            escape(summary.name),
            summary.status,
            f"{summary.step}/{summary.steps or '?'}",
            "" if summary.loss is None else f"{summary.loss:.4f}",
            summary.started_at.astimezone().strftime("%Y-%m-%d %H:%M"),
        )
    console.print(table)
