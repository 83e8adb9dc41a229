"""The offline files of W&B have what was logged."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs.trackers.tracked import track
from upbring.runs.trackers.make_trackers import make_trackers

pytest.importorskip("wandb")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a file in LevelDB's log format, after a header of 7 bytes.

    Blocks of 32 KiB hold chunks: checksum (4 bytes), length (2), type (1), data. A chunk is a
    whole record (1), or its first (2), a middle (3) or its last part (4).
    """
    position, parts = 7, []
    while position + 7 <= len(data):
        left_in_block = 32768 - position % 32768
        length, kind = struct.unpack_from("<HB", data, position + 4)
        if left_in_block < 7 or kind == 0:
            position += left_in_block
            continue
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in {1, 4}:
            yield b"".join(parts)
            parts = []


def read(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """Return the configuration, the history and the project of an offline file."""
    from wandb.proto import wandb_internal_pb2  # noqa: PLC0415 -- may be missing

    config: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    project = ""
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            project = record.run.project
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
        if record.HasField("history"):
            items = record.history.item
            names = [item.key or "/".join(item.nested_key) for item in items]
            row = dict(zip(names, (json.loads(i.value_json) for i in items), strict=True))
            history.append(row)
    return config, history, project


def test_the_history_is_read_back_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    start = track(lambda: make_trackers(["wandb"])[0], tmp_path)
    files = sorted((start.path / "wandb").glob(f"offline-run-*/run-{start.unique_id}.wandb"))
    parts = [read(file) for file in files]
    config, _, project = parts[0]
    assert project == "upbring"
    assert config["learning_rate"] == 0.1
    rows = {row["_step"]: row for _, history, _ in parts for row in history}
    assert [rows[step]["train/loss"] for step in (1, 2, 3)] == [3.0, 2.5, 2.0]
    assert rows[2]["eval/loss"] == 2.75
    assert rows[1]["train/grad_norm"] == 1.0
    (table,) = (start.path / "wandb").glob("offline-run-*/files/media/table/samples_2_*.table.json")
    assert json.loads(table.read_text()) == {
        "columns": ["step", "prompt", "response", "reward"],
        "data": [[2, "?", "# !", 0.5]],
    }
