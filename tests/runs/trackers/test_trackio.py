"""Trackio's own database has what was logged."""

import sqlite3
from pathlib import Path

import pytest

from tests.runs.trackers.tracked import track
from upbring.runs.trackers.make_trackers import make_trackers

pytest.importorskip("trackio")
pytestmark = pytest.mark.filterwarnings("ignore")


def test_metrics_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trackio.sqlite_storage  # noqa: PLC0415 -- may be missing
    import trackio.utils  # noqa: PLC0415 -- may be missing

    for module in (trackio.utils, trackio.sqlite_storage):  # read from the environment at import
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    monkeypatch.delenv("TRACKIO_SPACE_ID", raising=False)
    start = track(lambda: make_trackers(["trackio"])[0], tmp_path)
    assert (tmp_path / "trackio" / "upbring.db").is_file()
    with sqlite3.connect(tmp_path / "trackio" / "upbring.db") as database:
        names = {name for (name,) in database.execute("SELECT DISTINCT run_name FROM metrics")}
    assert names == {start.unique_id}
    rows = trackio.sqlite_storage.SQLiteStorage.get_logs("upbring", start.unique_id)
    losses = [(row["step"], row["train/loss"]) for row in rows if "train/loss" in row]
    assert losses == [(1, 3.0), (2, 2.5), (3, 2.0)]
    assert [row["eval/loss"] for row in rows if "eval/loss" in row] == [2.75]
    ((step, table),) = [(row["step"], row["samples"]) for row in rows if "samples" in row]
    assert (step, table["_type"]) == (2, "trackio.table")
    assert "# !" in str(table)
