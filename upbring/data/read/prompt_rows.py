"""The rows of prompt files with all their columns, for rewards and metrics that read them.

A row is stored once per file, as a line of JSON that is memory-mapped and decoded on use: training
carries only its key, FILE:LINE.

    rows.tsv    the columns and the messages of each row as JSON, with a tab between them
    lines.i64   the first line of each row in its file, ascending
    ends.i64    where each line of rows.tsv ends
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upbring import __version__, durable
from upbring.data.read import files, formats, plain_text
from upbring.data.read.records import Message, Prompt
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import read_rows
from upbring.errors import InputError
from upbring.plurals import format_count

ROWS, LINES, ENDS = "rows.tsv", "lines.i64", "ends.i64"


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A row of a prompt file: its key, its columns as JSON, and the dialogue to respond to."""

    key: str
    columns_json: str
    messages: tuple[Message, ...]

    @property
    def columns(self) -> dict[str, Any]:
        """A new copy of the columns."""
        columns: dict[str, Any] = json.loads(self.columns_json)
        return columns

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return self.messages[-1].content


def make_prompt_row(
    key: str, columns: Mapping[str, object], messages: tuple[Message, ...]
) -> PromptRow:
    """Return a row; values that JSON does not have, such as dates, become text."""
    return PromptRow(key, json.dumps(columns, default=str), messages)


def read_prompt_rows(path: Path, *, format: str = "auto") -> Iterator[tuple[int, PromptRow]]:  # noqa: A002 -- the setting's name
    """Yield line and row of a file of prompts, without the malformed rows, as encoding does."""
    reading = formats.read_records(path, Prompt, format=format)
    is_text = files.extension(path) == ".txt"
    for row in plain_text.read_lines(path) if is_text else read_rows(path):
        try:
            record, *others = reading.parse_row(row)
        except (RowError, UnusedError):
            continue
        key = f"{path}:{row.line}"
        if others:
            raise InputError(
                f"{key}: gives {format_count(len(others) + 1, 'prompt')}; write one prompt per row"
            )
        yield row.line, make_prompt_row(key, row.fields, record.messages)


@dataclass(frozen=True, eq=False)
class PromptRows:
    """The rows of prompt files by key, each file read and stored on first use."""

    files: tuple[Path, ...]
    cache: Callable[[], Path]  # the folder of the stored rows
    format: str = "auto"
    poll: Callable[[], None] = lambda: None
    stores: dict[str, "_RowStore"] = field(default_factory=dict)

    def __getitem__(self, key: str) -> PromptRow:
        path, _, line = key.rpartition(":")
        if path not in self.stores:
            named = {str(file): file for file in self.files}
            self.stores[path] = _open_store(named[path], self)
        return self.stores[path].row(key, int(line))


@dataclass(frozen=True, eq=False)
class _RowStore:
    """The stored rows of one file, memory-mapped."""

    rows: npt.NDArray[np.uint8]
    lines: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def row(self, key: str, line: int) -> PromptRow:
        """Return the row that begins on a line."""
        index = int(np.searchsorted(self.lines, line))
        assert index < len(self.lines), f"{key}: is not stored"
        assert self.lines[index] == line, f"{key}: is not stored"
        start = int(self.ends[index - 1]) if index else 0
        stored = self.rows[start : int(self.ends[index])].tobytes().decode()
        columns_json, messages_json = stored.split("\t")
        messages = tuple(Message(role, content) for role, content in json.loads(messages_json))
        return PromptRow(key, columns_json, messages)


def _open_store(path: Path, rows: PromptRows) -> _RowStore:
    """Return the stored rows of a file, written first if they are not in the cache."""
    parts = ["prompt rows", __version__, str(path), durable.sha256_file(path), rows.format]
    cache = rows.cache()
    folder = cache / hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    lock = folder.with_suffix(".lock")
    with durable.wait_for_lock(lock, waiting=functools.partial(rows.poll)):
        if not _is_complete(folder):
            _write_store(folder, read_prompt_rows(path, format=rows.format), rows.poll)
    return _RowStore(
        _map(folder / ROWS, np.uint8), _map(folder / LINES, "<i8"), _map(folder / ENDS, "<i8")
    )


def _is_complete(folder: Path) -> bool:
    try:
        durable.verify(folder)
    except (durable.Damaged, OSError):
        return False
    return True


def _write_store(
    folder: Path, rows: Iterable[tuple[int, PromptRow]], poll: Callable[[], None]
) -> None:
    lines, ends, end = [], [], 0
    with durable.atomic_folder(folder) as temporary, (temporary / ROWS).open("wb") as file:
        for line, row in rows:
            poll()
            messages = json.dumps([[m.role, m.content] for m in row.messages])
            end += file.write(f"{row.columns_json}\t{messages}\n".encode())
            lines.append(line)
            ends.append(end)
        file.close()
        (temporary / LINES).write_bytes(np.asarray(lines, "<i8").tobytes())
        (temporary / ENDS).write_bytes(np.asarray(ends, "<i8").tobytes())


def _map(path: Path, dtype: str | type[np.uint8]) -> npt.NDArray[Any]:
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))
