import json
from io import FileIO
from pathlib import Path

import pytest

from upbring.durable.row_log import BLOCK_BYTES, KeyedRows, RowLog
from upbring.durable.system import BytesLike, Disk
from upbring.errors import InputError, ResourceError


def log(folder: Path, *, disk: Disk | None = None) -> RowLog:
    return RowLog(
        folder / "rows.jsonl", frozenset({"key"}), "is not a row; delete it", disk or Disk()
    )


def test_rows_are_read_in_the_order_of_the_appends(tmp_path: Path) -> None:
    assert list(log(tmp_path).read()) == []
    log(tmp_path).append([{"key": "a", "text": "ü\nx"}])
    log(tmp_path).append([{"key": "b"}, {"key": "c"}])
    assert [row["key"] for row in log(tmp_path).read()] == ["a", "b", "c"]
    assert next(log(tmp_path).read())["text"] == "ü\nx"


@pytest.mark.parametrize("size", [1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7])
def test_an_incomplete_last_line_is_ignored_and_then_removed(tmp_path: Path, size: int) -> None:
    log(tmp_path).append([{"key": "a"}])
    with (tmp_path / "rows.jsonl").open("ab") as file:
        file.write(b'{"key": "' + b"x" * size)
    assert [row["key"] for row in log(tmp_path).read()] == ["a"]
    log(tmp_path).append([{"key": "b"}])
    assert [row["key"] for row in log(tmp_path).read()] == ["a", "b"]


def test_a_file_of_one_incomplete_line_becomes_empty(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"key"')
    log(tmp_path).append([{"key": "b"}])
    assert (tmp_path / "rows.jsonl").read_bytes() == b'{"key": "b"}\n'


@pytest.mark.parametrize("line", ["[]", "{", '{"other": 1}', "[" * 100_000])
def test_a_foreign_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"key": "a"}\n' + line + "\n")
    with pytest.raises(InputError, match=r"rows\.jsonl:2: is not a row; delete it"):
        list(log(tmp_path).read())


def test_keyed_rows_are_found_again_by_another_process(tmp_path: Path) -> None:
    rows = KeyedRows(log(tmp_path))
    rows.add([{"key": "a", "n": 1}])
    rows.add([{"key": "a", "n": 2}])
    again = KeyedRows(log(tmp_path))
    assert (again.get("a"), again.get("b"), len(again)) == ({"key": "a", "n": 2}, None, 1)


def test_without_a_file_rows_are_kept_in_memory() -> None:
    rows = KeyedRows()
    rows.add([{"key": "a"}])
    assert rows.get("a") == {"key": "a"}


class FullDisk(Disk):
    def write(self, file: FileIO, data: BytesLike) -> None:
        file.write(bytes(data)[:5])
        raise OSError(28, "No space left on device")


def test_a_row_that_did_not_fit_on_the_disk_is_not_kept(tmp_path: Path) -> None:
    log(tmp_path).append([{"key": "a"}])
    rows = KeyedRows(log(tmp_path, disk=FullDisk()))
    with pytest.raises(ResourceError, match=r"rows\.jsonl: No space left"):
        rows.add([{"key": "b"}])
    assert rows.get("b") is None
    log(tmp_path).append([{"key": "c"}])
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "c"]
