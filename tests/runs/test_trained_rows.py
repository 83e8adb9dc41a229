from pathlib import Path

from upbring.runs.trained_rows import read_trained_rows, row_hash, write_trained_rows


def test_hashes_are_read_back_and_unknown_is_not_none_trained(tmp_path: Path) -> None:
    assert read_trained_rows(tmp_path) is None
    write_trained_rows(tmp_path, [row_hash("b"), row_hash("a"), row_hash("A ")])
    assert read_trained_rows(tmp_path) == {row_hash("a"), row_hash("b")}
    write_trained_rows(tmp_path, [])
    assert read_trained_rows(tmp_path) == frozenset()
