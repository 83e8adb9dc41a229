"""One line about each run, for the list of runs."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from upbring.runs.metrics import last_record
from upbring.runs.nested_runs import name_in, nested_runs
from upbring.runs.run_folder import Run, Status


@dataclass(frozen=True)
class RunSummary:
    """One row of the list of runs."""

    name: str
    method: str
    status: Status
    step: int
    steps: int | None
    loss: float | None
    started_at: datetime


def summarize_runs(runs: Path) -> list[RunSummary]:
    """Return a summary of each run in a folder and in the pipelines in it, oldest first."""
    return [_summarize(run, runs) for run in nested_runs(runs)]


def _summarize(run: Run, folder: Path) -> RunSummary:
    metadata, last_metrics = run.read_metadata(), last_record(run.metrics_file)
    steps = metadata["steps"]
    return RunSummary(
        name=name_in(folder, run),
        method=str(metadata["method"]),
        status=run.status(),
        step=last_metrics.step if last_metrics else 0,
        steps=steps if isinstance(steps, int) else None,
        loss=last_metrics.values.get("loss") if last_metrics else None,
        started_at=datetime.fromisoformat(str(metadata["started_at"])),
    )
