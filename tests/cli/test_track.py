"""`--track`: a run told to each tracker that is installed, and a message for one that is not."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.commands import SFT, curve, done, hashes, prepare, upbring
from upbring.runs.trackers.make_trackers import TRACKERS

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracked_run_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = prepare(tmp_path)
    if importlib.util.find_spec(TRACKERS[name][0]) is None:
        answer = upbring(folder, *SFT, "--track", name)
        assert answer.code == 2
        assert f'install it with: pip install "upbring[{name}]"' in answer.err
        assert not (folder / "runs").exists()
        return
    for variable in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(variable, raising=False)
    if name == "trackio":
        import trackio.sqlite_storage  # noqa: PLC0415 -- may be missing
        import trackio.utils  # noqa: PLC0415 -- may be missing

        for module in (trackio.utils, trackio.sqlite_storage):
            monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "runs")
    done(folder, *SFT, "--name", "plain")
    done(folder, *SFT, "--name", "tracked", "--track", name)
    assert curve(folder / "runs/plain") == curve(folder / "runs/tracked")
    weights = [hashes(folder / "runs" / n / "model") for n in ("plain", "tracked")]
    assert weights[0]["adapter_model.safetensors"] == weights[1]["adapter_model.safetensors"]
    written = {
        "tensorboard": "tracked/tensorboard/events*",
        "wandb": "tracked/wandb/offline-run-*/*.wandb",
        "mlflow": "mlflow.db",
        "trackio": "upbring.db",
    }
    (file,) = (folder / "runs").glob(written[name])
    assert file.stat().st_size > 0
    assert "track" in (folder / "runs/tracked/settings.yaml").read_text()
    assert json.loads((folder / "runs/tracked/run.json").read_text())["finished_at"]
