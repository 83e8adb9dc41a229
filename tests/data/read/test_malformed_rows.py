import json
from pathlib import Path

import pytest

from upbring.data.read.malformed_rows import Malformed
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Row
from upbring.errors import InputError


def _bad(line: int, raw: str = "x") -> tuple[Row, RowError]:
    return Row(line, raw, {}), RowError("text", "is empty", "fill it")


def test_all_are_counted_and_the_first_twenty_problems_shown() -> None:
    malformed = Malformed(Path("a.jsonl"), None)
    for line in range(1, 31):
        malformed.add(Row(line, "x", {}), RowError("text", f"is {line}", "fix it"))
    lines = str(malformed.make_error(50)).splitlines()
    assert lines[0] == "a.jsonl:1: text: is 1; fix it"
    assert lines[19] == "a.jsonl:20: text: is 20; fix it"
    assert lines[20:] == [
        (
            "a.jsonl: 30 of 50 rows are malformed (the first 20 problems are shown); fix them, or "
            "skip them: --skip-bad rejects.jsonl"
        )
    ]
    assert malformed.num_not_shown == 10


def test_rows_with_the_same_problem_share_a_line() -> None:
    malformed = Malformed(Path("a.jsonl"), None)
    for line in (1, 2, 5, 8, 9):
        malformed.add(*_bad(line))
    malformed.add(Row(6, "x", {}), RowError("text", "is 7", "quote it"))
    assert malformed.shown_lines == [
        "a.jsonl:1: text: is empty; fill it (also 4 more rows: lines 2, 5, 8, …)",
        "a.jsonl:6: text: is 7; quote it",
    ]
    assert malformed.num_not_shown == 0


def test_rejects_are_added_to_the_file_once_each(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"torn": ')  # a line that an earlier run did not finish
    for _ in range(2):
        malformed = Malformed(Path("a.jsonl"), path)
        malformed.add(*_bad(3, 'caf\udce9 \ud800 "'))
        malformed.add(*_bad(4))
        malformed.flush()
    torn, first, second = path.read_text().splitlines()
    assert torn == '{"torn": '
    assert json.loads(first) == {
        "file": "a.jsonl",
        "line": 3,
        "reason": "text: is empty; fill it",
        "row": 'caf\udce9 \ud800 "',
    }
    assert json.loads(second)["line"] == 4


def test_many_rejects_are_written_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    malformed = Malformed(Path("a.jsonl"), path)
    for line in range(300):
        malformed.add(*_bad(line))
    assert len(path.read_text().splitlines()) == 256
    malformed.flush()
    assert len(path.read_text().splitlines()) == 300


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    malformed = Malformed(Path("a.jsonl"), tmp_path / "no" / "bad.jsonl")
    malformed.add(*_bad(1))
    with pytest.raises(InputError, match=r"--skip-bad .*bad\.jsonl: cannot be written \(No such"):
        malformed.flush()
