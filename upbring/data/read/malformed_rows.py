"""Malformed rows of one reading: all counted, the first shown, all written where the user says so.

A reject is one JSON line {file, line, reason, row}; `row` is the text as it stood. Rejects are
added to the file and are on the disk when the reading ends. One that the file holds already is not
written twice, so reading again after an interruption leaves it as it was.
"""

import errno
import json
import os
from pathlib import Path

from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Row
from upbring.errors import InputError, ResourceError

MOST_SHOWN = 20
_AT_ONCE = 256
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


class Malformed:
    """Counts malformed rows of a file and keeps what is needed to tell of them."""

    def __init__(self, path: Path, skip_bad: Path | None) -> None:
        self.path = path
        self.skip_bad = skip_bad
        self.count = 0
        self.shown: list[str] = []
        self._waiting: list[str] = []
        self._written: set[int] | None = None

    def add(self, row: Row, problem: RowError) -> None:
        """Count a row, and keep it for the message or for the file of rejects."""
        self.count += 1
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(f"{self.path}:{row.line}: {problem}")
        if self.skip_bad is not None:
            reject = {"file": str(self.path), "line": row.line, "reason": str(problem)}
            self._waiting.append(json.dumps({**reject, "row": row.raw}, allow_nan=False))
            if len(self._waiting) >= _AT_ONCE:
                self.write()

    def write(self) -> None:
        """Bring the rejects that wait to the disk."""
        if not self._waiting or self.skip_bad is None:
            return
        try:
            self._append(self.skip_bad)
        except OSError as error:
            reason = error.strerror or str(error)
            kind = ResourceError if error.errno in _FULL else InputError
            todo = "free space or name another file" if kind is ResourceError else "name another"
            raise kind(
                f"--skip-bad {self.skip_bad}: cannot be written ({reason}); {todo}"
            ) from error
        self._waiting.clear()

    def error(self, num_rows: int, *, last: str | None = None) -> InputError:
        """Return the error that tells of all: the rows shown, what ended the reading, the count."""
        lines = [*self.shown, *([last] if last else [])]
        if self.count:
            most = f", the first {MOST_SHOWN} are shown" if self.count > MOST_SHOWN else ""
            lines.append(
                f"{self.path}: {self.count} of {num_rows} rows are malformed{most}; "
                "correct them, or go on without them: --skip-bad rejects.jsonl"
            )
        return InputError("\n".join(lines))

    def _append(self, path: Path) -> None:
        with path.open("ab+") as file:
            if self._written is None:
                file.seek(0)
                self._written = {hash(line.rstrip(b"\r\n")) for line in file}
                if file.tell() and not _ends_line(path):
                    file.write(b"\n")
            for reject in self._waiting:
                line = reject.encode("ascii")
                if hash(line) not in self._written:
                    self._written.add(hash(line))
                    file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
