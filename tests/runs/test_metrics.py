"""A line is complete or absent; a resumed run has the lines of an uninterrupted run."""

import errno
import json
import math
from pathlib import Path

import pytest

from tests.faults import CountingDisk, FailingDisk
from upbring.errors import InputError, ResourceError
from upbring.runs.metrics import JsonLinesFile, MetricsFile, last_record, read_lines, read_metrics


def writer(path: Path, **more: CountingDisk) -> MetricsFile:
    return MetricsFile(path, clock=lambda: 12.34567, **more)


def test_what_is_written_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with writer(path) as metrics:
        metrics.write(1, {"loss": 0.1})
        metrics.write(1, {"loss": 0.25}, kind="held_out")
        first, second = read_metrics(path)
    assert (first.step, first.kind, first.time, first.values) == (1, "train", 12.346, {"loss": 0.1})
    assert (second.kind, second.values) == ("held_out", {"loss": 0.25})


def test_numbers_that_json_lacks_become_null_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with writer(path) as metrics:
        metrics.write(3, {"loss": math.nan, "norm": -math.inf, "rate": 1e-5})
    line = json.loads(path.read_text())
    assert line["loss"] is line["norm"] is None
    assert line["not_finite"] == {"loss": "nan", "norm": "-inf"}
    values = read_metrics(path)[0].values
    assert math.isnan(values["loss"])
    assert (values["norm"], values["rate"]) == (-math.inf, 1e-5)


def test_cutting_drops_later_steps_and_unreadable_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with writer(path) as metrics:
        for step in (1, 2, 3):
            metrics.write(step, {"loss": 1.0})
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole[0] + whole[1] + bytes(20) + b"\n" + whole[2] + b'{"step": 4, "lo')
    with writer(path) as metrics:
        assert (
            metrics.truncate_after(2) == 2
        )  # the zeros and step 3; opening the file removed the incomplete line
        metrics.write(3, {"loss": 1.0})
        assert metrics.truncate_after(3) == 0
    assert path.read_bytes() == b"".join(whole)


def test_a_failed_write_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    disk = FailingDisk(1, code=errno.ENOSPC)
    with writer(path, disk=disk) as metrics:
        metrics.write(1, {"loss": 1.0})
        with pytest.raises(ResourceError, match=r"metrics.jsonl: No space left on device \(\d+ by"):
            metrics.write(2, {"loss": 1.0})
        metrics.write(2, {"loss": 1.0})
        metrics.sync()
    assert [record.step for record in read_metrics(path)] == [1, 2]
    assert disk.operations == ["write", "write", "write", "sync"]


def test_an_incomplete_last_line_is_omitted_and_a_bad_one_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert [value["step"] for _, value in read_lines(path)] == [1, 2]
    path.write_text('{"step": 1}\n[1, 2]\n')
    with pytest.raises(InputError, match=r"samples.jsonl:2: '\[1, 2\]\\n' is not a JSON object;"):
        list(read_lines(path))
    path.write_text('{"loss": 1}\n')
    with pytest.raises(InputError, match=r"samples.jsonl:1: is not a metrics record \('step'\)"):
        read_metrics(path)


def test_samples_keep_their_text(tmp_path: Path) -> None:
    with JsonLinesFile(tmp_path / "samples.jsonl") as samples:
        samples.append(5, {"prompt": "Grüß\nGott \ud800", "response": "😀"})
    ((_, value),) = read_lines(tmp_path / "samples.jsonl")
    assert value == {"step": 5, "prompt": "Grüß\nGott \ud800", "response": "😀"}


def test_the_last_record_is_found_at_the_end_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_record(path) is None
    assert list(read_lines(path)) == []
    with writer(path) as metrics:
        for step in range(50):
            metrics.write(step, {"loss": float(step)})
        metrics.write(49, {"loss": 7.0}, kind="held_out")
    last = last_record(path, window=300)  # a line has about 60 characters
    assert last is not None
    assert last.values == {"loss": 49.0}
    assert last_record(path, window=10) is None


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sft-1: the folder is gone"):
        MetricsFile(tmp_path / "sft-1" / "metrics.jsonl")
