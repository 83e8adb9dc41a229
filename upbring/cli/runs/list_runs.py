"""`upbring runs`: list the runs in a folder."""

from pathlib import Path

from upbring.runs.run_summary import RunSummary, summarize_runs
from upbring.settings.commands.runs import RunsSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train.table_layouts import print_table, table_layouts


def run(resolved: Resolved[RunsSettings]) -> None:
    """Print a table of all runs."""
    folder = resolved.settings.runs
    console = Console()
    summaries = summarize_runs(folder)
    if not summaries:
        console.print(no_runs_text(folder), markup=False, soft_wrap=True)
        return
    Console(stderr=True).print(f"folder: {folder}", markup=False, soft_wrap=True)
    rows = [
        (
            summary.name,
            summary.status,
            _steps_text(summary),
            "" if summary.loss is None else f"{summary.loss:.4f}",
            summary.started_at.astimezone().strftime("%Y-%m-%d %H:%M"),
        )
        for summary in summaries
    ]
    headings = ("run", "status", "steps", "loss", "started")
    print_table(console, [*table_layouts(headings, rows, optional=("started", "loss"))])


def no_runs_text(folder: Path) -> str:
    """Return what to do where there are no runs."""
    return (
        f"{folder}: no runs yet; start one with `upbring sft`, or list another folder with "
        "`upbring runs FOLDER`"
    )


def _steps_text(summary: RunSummary) -> str:
    """Return the steps that are done; all of them may be done in a run that is not finished."""
    text = f"{summary.step}/{summary.steps or '?'}"
    is_evaluated_later = summary.status == "interrupted" and summary.step == summary.steps
    return f"{text}, evaluation pending" if is_evaluated_later else text
