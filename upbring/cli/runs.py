"""`upbring runs`: the runs of a folder, a line each."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from upbring.runs.run_folder import list_runs
from upbring.settings.commands.runs import RunsSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[RunsSettings]) -> None:
    """Print a table of all runs."""
    folder = resolved.settings.runs
    console = Console()
    summaries = list_runs(folder)
    if not summaries:
        console.print(f"{folder}: no runs yet; begin one with `upbring sft`", markup=False)
        return
    table = Table("run", "status", "steps", "loss", "began", box=None, pad_edge=False)
    for each in summaries:
        table.add_row(
            escape(each.name),
            each.status,
            f"{each.step}/{each.steps or '?'}",
            "" if each.loss is None else f"{each.loss:.4f}",
            each.began.astimezone().strftime("%Y-%m-%d %H:%M"),
        )
    console.print(table)
