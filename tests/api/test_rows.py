import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upbring.api.rows import as_files, write_rows
from upbring.errors import InputError

ROWS: list[dict[str, object]] = [
    {"prompt": "2 + 2?", "answer": 4},
    {"prompt": "naïve €?", "answer": None},
]


class Dataset:
    """Iterates over dicts, as a `datasets.Dataset` does."""

    column_names = ("prompt", "answer")

    def __iter__(self) -> Iterator[dict[str, object]]:
        return iter(ROWS)


class Frame:
    """Iterates over the names of columns, as a DataFrame does."""

    columns = ("prompt", "answer")

    def itertuples(self) -> None: ...

    def to_dict(self, orient: str) -> list[dict[str, object]]:
        assert orient == "records"
        return ROWS


def read(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("data", [ROWS, tuple(ROWS), Dataset(), Frame(), iter(ROWS)])
def test_rows_of_every_kind_are_one_file_whose_name_is_its_content(
    data: Any, tmp_path: Path
) -> None:
    (path,) = as_files(data, argument="data", folder=tmp_path / "rows")
    assert read(path) == ROWS
    assert path == write_rows(ROWS, argument="data", folder=tmp_path / "rows")
    assert [each.name for each in (tmp_path / "rows").iterdir()] == [path.name]


def test_other_rows_are_another_file(tmp_path: Path) -> None:
    first, second = (write_rows(rows, argument="x", folder=tmp_path) for rows in (ROWS, ROWS[:1]))
    assert first != second


def test_a_damaged_file_of_rows_is_written_again(tmp_path: Path) -> None:
    path = write_rows(ROWS, argument="data", folder=tmp_path)
    path.write_text("{}\n")
    assert read(write_rows(ROWS, argument="data", folder=tmp_path)) == ROWS


def test_paths_stay_paths_and_may_stand_beside_several_sets_of_rows(tmp_path: Path) -> None:
    assert as_files("a.jsonl", argument="data", folder=tmp_path) == (Path("a.jsonl"),)
    files = as_files(("a.jsonl", Path("b.csv"), ROWS), argument="data", folder=tmp_path)
    assert files[:2] == (Path("a.jsonl"), Path("b.csv"))
    assert read(files[2]) == ROWS


def test_numbers_of_numpy_and_dates_are_plain_values(tmp_path: Path) -> None:
    row = {"n": np.int64(3), "v": np.array([1.5]), "d": dt.date(2026, 1, 2)}
    path = write_rows([row], argument="data", folder=tmp_path)
    assert read(path) == [{"n": 3, "v": [1.5], "d": "2026-01-02"}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "data: contains no rows; give at least one"),
        ({"prompt": ["a"]}, "data: is a dict; give a list of dicts, one per row"),
        ({"train": Dataset(), "test": Dataset()}, "data: has the splits train, test; give one of"),
        (3, "data: 3 is no data; give a path, a list of dicts, a Dataset, or another iterable"),
        ([ROWS[0], "b"], "data: row 2: 'b' is not a dict; give one dict per row"),
        (["a.jsonl", ROWS[0]], "data: has paths and rows side by side"),
        ([{"x": float("nan")}], "data: row 1: x is nan, which JSON cannot hold; use text"),
        ([{"x": 1}, {"y": object}], "data: row 2: y is <class 'object'>, which JSON cannot hold"),
        ([{"x": "\ud800"}], "data: row 1: x contains half of a character (a lone surrogate)"),
    ],
)
def test_what_is_no_data_is_one_message_about_the_argument(
    data: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        as_files(data, argument="data", folder=tmp_path)
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []
