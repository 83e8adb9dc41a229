"""`upbring runs prune`: delete checkpoints that nothing needs."""

from pathlib import Path

from upbring import durable
from upbring.cli.runs.list_runs import no_runs_text
from upbring.errors import format_command
from upbring.plurals import format_count
from upbring.runs.dependencies import read_inputs
from upbring.runs.find_model import RUNS_FOLDER
from upbring.runs.nested_runs import name_in, neighboring_runs, nested_runs
from upbring.runs.run_folder import Run
from upbring.settings.commands.runs import RunsPruneSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train.prune_checkpoints import PruneDecision, decide, delete
from upbring.train.table_layouts import print_table, table_layouts

HEADINGS = ("run", "status", "delete", "free", "keep", "because")


def run(resolved: Resolved[RunsPruneSettings]) -> None:
    """Print what can be deleted, and delete it if the settings say so."""
    folder, console = resolved.settings.runs, Console()
    decisions = decide_all(folder)
    if not decisions:
        console.print(no_runs_text(folder), markup=False, soft_wrap=True)
        return
    rows = [
        (
            name_in(folder, each.run),
            each.status,
            format_count(len(each.deleted), "checkpoint") if each.deleted else "–",
            durable.format_size(each.num_bytes) if each.deleted else "",
            ", ".join(path.name for path in each.kept) or "–",
            each.reason if each.kept else "",
        )
        for each in decisions
    ]
    print_table(console, [*table_layouts(HEADINGS, rows, optional=("because", "keep"))])
    if resolved.settings.delete:
        for each in decisions:
            if each.deleted:
                delete(each)
    summary = _summary(folder, decisions, is_deleted=resolved.settings.delete)
    console.print(summary, markup=False, soft_wrap=True)


def decide_all(folder: Path) -> list[PruneDecision]:
    """Return a decision for each run in a folder, or for the run whose folder it is."""
    one = Run(folder)
    runs = [one] if one.metadata_file.is_file() else nested_runs(folder)
    used = {
        each.path.resolve(): [item.path for item in read_inputs(each)]
        for each in neighboring_runs(folder)
    }
    return [
        decide(
            run,
            used=[p for other, paths in used.items() if other != run.path.resolve() for p in paths],
        )
        for run in runs
    ]


def _summary(folder: Path, decisions: list[PruneDecision], *, is_deleted: bool) -> str:
    num_checkpoints = sum(len(each.deleted) for each in decisions)
    if not num_checkpoints:
        return "nothing to delete"
    size = durable.format_size(sum(each.num_bytes for each in decisions))
    count = format_count(num_checkpoints, "checkpoint")
    if is_deleted:
        return f"deleted {count}, {size}"
    where = [] if folder == Path(RUNS_FOLDER) else [folder]
    command = format_command("runs", "prune", *where, "--delete")
    return f"{count}, {size}; delete them with {command}"
