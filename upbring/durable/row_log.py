"""A JSONL file that is only appended to: each append is on the disk before it returns.

A process that dies leaves at most an incomplete last line, which is ignored and then removed.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from upbring.durable.locking import open_regular
from upbring.durable.manifest import JSON
from upbring.durable.system import DISK, Disk, explain_os_errors
from upbring.errors import InputError

LogRow = dict[str, JSON]
BLOCK_BYTES = 65536


@dataclass(frozen=True)
class RowLog:
    """The rows of one file; `foreign` explains a line that is none of them."""

    path: Path
    fields: frozenset[str]  # that each row has
    foreign: str  # such as "is not a cached call; delete that line"
    disk: Disk = DISK

    def read(self) -> Iterator[LogRow]:
        """Yield the rows, without an incomplete last line; none if there is no file."""
        if not self.path.is_file():
            return
        with explain_os_errors(self.path), self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                if not isinstance(row, dict) or not self.fields <= row.keys():
                    raise InputError(f"{self.path}:{number}: {self.foreign}")
                yield row

    def append(self, rows: Sequence[Mapping[str, JSON]]) -> None:
        """Write the rows after those that are there."""
        data = b"".join(map(encode_row, rows))
        with explain_os_errors(self.path, need=len(data)):
            _remove_torn_line(self.path)
            with FileIO(self.path, "ab", opener=open_regular) as file:
                self.disk.write(file, data)
                self.disk.sync(file)


class KeyedRows:
    """Rows by their field `key`, in a `RowLog`; without one they are kept in memory only."""

    def __init__(self, log: RowLog | None = None) -> None:
        self._log = log
        self._rows = {str(row["key"]): row for row in log.read()} if log else {}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> Mapping[str, JSON] | None:
        """Return the row of a key, or None."""
        return self._rows.get(key)

    def add(self, rows: Sequence[Mapping[str, JSON]]) -> None:
        """Add rows; they are on the disk when this returns."""
        if self._log is not None:
            self._log.append(rows)
        self._rows |= {str(row["key"]): dict(row) for row in rows}


def encode_row(row: Mapping[str, JSON]) -> bytes:
    """Return a row as a line of JSON; lone surrogates are escaped."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace")


def _remove_torn_line(path: Path) -> None:
    """Remove an incomplete last line, so that appended rows start on a new line."""
    if not path.is_file():
        return
    with open(path, "r+b", opener=open_regular) as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK_BYTES)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            end = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if end < size:
            file.truncate(end)
