import importlib.util
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from upbring.data.read import tables
from upbring.data.read.formats import read_records
from upbring.data.read.records import Comparison, Demonstration, Message
from upbring.errors import InputError


def test_parquet_rows_are_read_as_json_rows_are(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = [{"messages": messages, "id": k} for k in range(600)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = list(read_records(tmp_path / "a.parquet", Demonstration))
    assert len(found) == 600
    assert found[0].messages == (Message("user", "Hi"), Message("assistant", "Hello"))
    assert found[599].origin.line == 600


def test_a_bad_parquet_row_is_skipped_and_saved(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": None, "chosen": "b"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    bad = tmp_path / "bad.jsonl"
    assert len(list(read_records(tmp_path / "a.parquet", Comparison, skip_bad=bad))) == 1
    assert json.loads(bad.read_text())["line"] == 2


def test_damaged_parquet_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist([{"prompt": "a", "response": "b"}]), path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"PAR1" + content[8:], b"hello"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.parquet: file: is not a complete Parquet file"):
            list(read_records(path, Demonstration))


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_arrow_rows_are_read_in_both_layouts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data-00000-of-00001.arrow"
    table = pa.Table.from_pylist([{"prompt": f"{k}", "response": "b"} for k in range(600)])
    make_writer = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with make_writer(path, table.schema) as writer:
        writer.write_table(table)
    found = list(read_records(path, Demonstration))
    assert len(found) == 600
    assert found[599].messages == (Message("user", "599"), Message("assistant", "b"))
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"hello"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"arrow: file: is not a complete Arrow file"):
            list(read_records(path, Demonstration))


def test_a_hub_name_has_an_owner_a_name_and_perhaps_more() -> None:
    assert tables.parse_hub_path(Path("hub:a/b")) == ("a/b", None, "train")
    assert tables.parse_hub_path(Path("hub:a/b/main:test")) == ("a/b", "main", "test")
    with pytest.raises(InputError, match="write hub:owner/name:split"):
        tables.parse_hub_path(Path("hub:alone"))


@pytest.mark.skipif(
    importlib.util.find_spec("datasets") is not None, reason="the extra is installed"
)
def test_a_missing_extra_is_reported_with_the_line_that_installs_it() -> None:
    with pytest.raises(InputError, match=r'needs datasets; .*pip install "upbring\[data\]"'):
        list(read_records(Path("hub:owner/name:train"), Demonstration))
