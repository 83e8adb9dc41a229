"""Weights & Biases, offline: a run in the folder `wandb` of the run, for `wandb sync` or to keep.

Set WANDB_MODE=online to send it while training, and WANDB_PROJECT to name the project.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import wandb

from upbring.durable import JSON
from upbring.runs.callback import Callback, MetricsKind, RunEnd, RunStart
from upbring.runs.trackers.metric_names import grouped_metrics
from upbring.runs.trackers.process_environment import environment
from upbring.runs.trackers.sample_table import NAME, sample_table

PROJECT = "upbring"


class WandB(Callback):
    """Writes a W&B run; a resumed run has the same id, so that both parts are one run."""

    def on_start(self, run: RunStart) -> None:
        """Start the run."""
        self.run = run
        with environment({"WANDB_ERROR_REPORTING": "false"}):
            self.wandb_run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run.name,
                id=run.unique_id,
                resume="allow",
                mode="online" if os.environ.get("WANDB_MODE") == "online" else "offline",
                dir=str(run.path.absolute()),  # its service keeps its own directory
                config={"method": run.method, **run.settings},
                settings=wandb.Settings(
                    silent=True, console="off", disable_git=True, disable_code=True
                ),
            )

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: MetricsKind) -> None:
        """Log the metrics of a step."""
        self.wandb_run.log(grouped_metrics(self.run.method, metrics, kind), step=step)

    def on_samples(self, step: int, samples: Sequence[Mapping[str, JSON]]) -> None:
        """Log a table of the samples."""
        columns, rows = sample_table(step, samples)
        table = wandb.Table(columns=columns, data=rows, allow_mixed_types=True)
        self.wandb_run.log({NAME: table}, step=step)

    def on_end(self, status: RunEnd) -> None:
        """Finish the run."""
        self.wandb_run.finish(exit_code=0 if status == "finished" else 1)
