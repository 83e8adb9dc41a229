"""Rows in memory are written to a file, once, so that a run can be resumed and says what it read.

The file's name is a hash of its content. A run reads it like any other file, so its weights are
those of a command with a file of the same rows.
"""

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from upbring import durable
from upbring.errors import InputError, format_value

Row = Mapping[str, object]
Rows = Iterable[Row]
Source = str | os.PathLike[str] | Rows
Data = Source | Sequence[Source]

HASH_DIGITS = 16


def as_files(data: Data, *, argument: str, folder: Path) -> tuple[Path, ...]:
    """Return the files of `data`: paths as they are, and a file in `folder` for rows in memory."""
    if isinstance(data, str | os.PathLike):
        return (Path(data),)
    if isinstance(data, Mapping):
        raise InputError(f"{argument}: {_describe_mapping(data)}")
    if (records := _table_records(data)) is not None:
        return (write_rows(records, argument=argument, folder=folder),)
    if isinstance(data, list | tuple):
        return _files_of_list(data, argument=argument, folder=folder)
    if not isinstance(data, Iterable):
        raise InputError(
            f"{argument}: {format_value(data)} is no data; give a path, a list of dicts, a "
            "Dataset, or another iterable of dicts"
        )
    return (write_rows(data, argument=argument, folder=folder),)


def write_rows(rows: Iterable[object], *, argument: str, folder: Path) -> Path:
    """Return a JSON Lines file of the rows in `folder`; equal rows give the same file."""
    data = b"".join(_lines(rows, argument=argument))
    if not data:
        raise InputError(f"{argument}: contains no rows; give at least one")
    path = folder / f"{hashlib.sha256(data).hexdigest()[:HASH_DIGITS]}.jsonl"
    with durable.explain_os_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        is_written = path.is_file() and path.read_bytes() == data
    if not is_written:
        durable.write_bytes(path, data)
    return path


def _files_of_list(items: Sequence[object], *, argument: str, folder: Path) -> tuple[Path, ...]:
    """Return the files of a list: of rows, or of paths and several sets of rows."""
    if not items or isinstance(items[0], Mapping):
        return (write_rows(items, argument=argument, folder=folder),)
    files: list[Path] = []
    for item in items:
        if isinstance(item, Mapping):
            raise InputError(
                f"{argument}: has paths and rows side by side; put the rows into a list of their "
                "own"
            )
        files += as_files(item, argument=argument, folder=folder)  # type: ignore[arg-type]  # checked there
    return tuple(files)


def _lines(rows: Iterable[object], *, argument: str) -> Iterator[bytes]:
    for number, row in enumerate(rows, start=1):
        location = f"{argument}: row {number}"
        if not isinstance(row, Mapping):
            raise InputError(
                f"{location}: {format_value(row)} is not a dict; give one dict per row, such as "
                '{"prompt": "…", "response": "…"}'
            )
        try:
            text = json.dumps(dict(row), ensure_ascii=False, allow_nan=False, default=_plain_value)
            yield f"{text}\n".encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"{location}: {_describe_bad_value(row, error)}; use text, numbers, booleans, "
                "None, lists and dicts"
            ) from error


def _plain_value(value: object) -> object:
    """Return the JSON value of a number or an array of numpy, torch or pandas, or of a date."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"is a {type(value).__name__}")


def _describe_bad_value(row: Row, error: Exception) -> str:
    """Return the column that JSON cannot hold, and why."""
    for name, value in row.items():
        try:
            text = json.dumps(
                {name: value}, ensure_ascii=False, allow_nan=False, default=_plain_value
            )
            text.encode()
        except UnicodeEncodeError:
            return f"{name} contains half of a character (a lone surrogate)"
        except (TypeError, ValueError, RecursionError):
            return f"{name} is {format_value(value)}, which JSON cannot hold"
    return str(error)


def _describe_mapping(data: Mapping[str, object]) -> str:
    splits = [name for name, value in data.items() if hasattr(value, "column_names")]
    if splits:
        return (
            f"has the splits {', '.join(splits)}; give one of them, such as dataset[{splits[0]!r}]"
        )
    return "is a dict; give a list of dicts, one per row"


def _table_records(data: object) -> Iterable[object] | None:
    """Return the rows of a DataFrame, whose own iteration yields the names of its columns."""
    if not (hasattr(data, "columns") and hasattr(data, "to_dict") and hasattr(data, "itertuples")):
        return None
    records: Iterable[object] = data.to_dict("records")
    return records
