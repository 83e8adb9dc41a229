"""Small JSON files are read, and what is wrong with one is named."""

from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.runs.json_object import MAX_BYTES, read_json_object


def test_a_missing_file_is_empty_and_an_object_is_returned(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert read_json_object(path) == {}
    path.write_text('{"a": [1]}')
    assert read_json_object(path) == {"a": [1]}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"[]", "is not a JSON object"),
        (b" " * (MAX_BYTES + 1), "is larger than"),
    ],
    ids=["cut", "deep", "bytes", "list", "large"],
)
def test_what_is_wrong_is_named(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"config.json: {problem}"):
        read_json_object(path)
