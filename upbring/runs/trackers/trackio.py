"""Trackio: its own local database, shown by `trackio show`.

Set TRACKIO_DIR for another folder, TRACKIO_PROJECT to name the project, and TRACKIO_SPACE_ID to
send the metrics to a Space of the hub.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import trackio

from upbring.durable import JSON
from upbring.runs.callback import Callback, MetricsKind, RunEnd, RunStart
from upbring.runs.trackers.metric_names import grouped_metrics
from upbring.runs.trackers.sample_table import NAME, sample_table

PROJECT = "upbring"


class Trackio(Callback):
    """Writes a trackio run, which a resumed run continues."""

    def on_start(self, run: RunStart) -> None:
        """Start the run."""
        self.run = run
        self.trackio_run: Any = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=run.unique_id,
            space_id=os.environ.get("TRACKIO_SPACE_ID"),
            config={"method": run.method, **run.settings},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: MetricsKind) -> None:
        """Log the metrics of a step."""
        self.trackio_run.log(grouped_metrics(self.run.method, metrics, kind), step=step)

    def on_samples(self, step: int, samples: Sequence[Mapping[str, JSON]]) -> None:
        """Log a table of the samples."""
        columns, rows = sample_table(step, samples)
        frame = pd.DataFrame(rows, columns=columns)
        self.trackio_run.log({NAME: trackio.Table(dataframe=frame)}, step=step)

    def on_end(self, status: RunEnd) -> None:
        """Finish the run."""
        del status
        self.trackio_run.finish()
