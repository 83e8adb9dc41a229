"""MLflow: a local database `mlflow.db` beside the runs; `mlflow ui --backend-store-uri …`.

Set MLFLOW_TRACKING_URI to use a server, and MLFLOW_EXPERIMENT_NAME to name the experiment.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from upbring.durable import JSON
from upbring.runs.callback import Callback, MetricsKind, RunEnd, RunStart
from upbring.runs.trackers.metric_names import trl_metrics
from upbring.runs.trackers.process_environment import environment
from upbring.runs.trackers.sample_table import NAME, sample_table

with environment({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}):
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

EXPERIMENT = "upbring"
RUN_TAG = "upbring.run"
MAX_PARAM_LENGTH = 500
STATUSES: Mapping[RunEnd, str] = {
    "finished": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}


class MLflow(Callback):
    """Writes an MLflow run; a resumed run continues the one with its tag."""

    def on_start(self, run: RunStart) -> None:
        """Create the run, or find it."""
        self.run = run
        database = (run.path.parent / "mlflow.db").resolve()
        uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{database.as_posix()}")
        self.client: Any = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self.client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else self._create_experiment(name)
        found = self.client.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{run.unique_id}'")
        if found:
            self.id: str = found[0].info.run_id
            self.client.update_run(self.id, status="RUNNING")
            return
        tags = {RUN_TAG: run.unique_id}
        created = self.client.create_run(experiment_id, tags=tags, run_name=run.name)
        self.id = created.info.run_id
        settings = {"method": run.method, **run.settings}
        params = [Param(name, str(value)[:MAX_PARAM_LENGTH]) for name, value in settings.items()]
        self.client.log_batch(self.id, params=params)

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: MetricsKind) -> None:
        """Log the metrics of a step: loss, or eval_loss."""
        prefix, now = "" if kind == "train" else "eval_", int(time.time() * 1000)
        values = trl_metrics(self.run.method, metrics)
        entries = [Metric(prefix + name, value, now, step) for name, value in values.items()]
        self.client.log_batch(self.id, metrics=entries)

    def on_samples(self, step: int, samples: Sequence[Mapping[str, JSON]]) -> None:
        """Append the samples to the run's table."""
        columns, rows = sample_table(step, samples)
        table = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
        self.client.log_table(self.id, table, f"{NAME}.json")

    def on_end(self, status: RunEnd) -> None:
        """Set the status of the run."""
        self.client.set_terminated(self.id, STATUSES[status])

    def _create_experiment(self, name: str) -> str:
        artifacts = (self.run.path.parent / "mlflow-artifacts").resolve().as_uri()
        is_local = "MLFLOW_TRACKING_URI" not in os.environ
        created = self.client.create_experiment(name, artifacts if is_local else None)
        return str(created)
