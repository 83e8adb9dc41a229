"""MLflow's own client finds what was logged in the local database."""

import json
from pathlib import Path

import pytest

from tests.runs.trackers.tracked import track
from upbring.runs.trackers.make_trackers import make_trackers

pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")
pytestmark = pytest.mark.filterwarnings("ignore")


def test_metrics_and_settings_are_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    start = track(lambda: make_trackers(["mlflow"])[0], tmp_path)
    from mlflow.telemetry.client import get_telemetry_client  # noqa: PLC0415 -- may be missing
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 -- may be missing

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("upbring")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == start.name
    assert run.info.status == "FINISHED"
    assert run.data.params["learning_rate"] == "0.1"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(1, 3.0), (2, 2.5), (3, 2.0)]
    (held_out,) = client.get_metric_history(run.info.run_id, "eval_loss")
    assert (held_out.step, held_out.value) == (2, 2.75)
    file = client.download_artifacts(run.info.run_id, "samples.json", str(tmp_path))
    assert json.loads(Path(file).read_text()) == {
        "columns": ["step", "prompt", "response", "reward"],
        "data": [[2, "?", "# !", 0.5]],
    }
    assert get_telemetry_client() is None
