"""Collect the malformed rows of one file: count all, show the first, write all to `--skip-bad`.

A rejected row is one JSON line {file, line, reason, row}; `row` is its original text. Rejected rows
are appended, and synced to disk when reading ends. A line that is already in the file is not
written again, so reading again after an interruption does not change it.
"""

import errno
import json
import os
from pathlib import Path

from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Row
from upbring.errors import InputError, ResourceError

MAX_SHOWN = 20
_FLUSH_ROWS = 256
_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


class Malformed:
    """Counts the malformed rows of a file and keeps what the error message needs."""

    def __init__(self, path: Path, skip_bad: Path | None) -> None:
        self.path = path
        self.skip_bad = skip_bad
        self.count = 0
        self.shown_lines: list[str] = []
        self._pending: list[str] = []
        self._written_hashes: set[int] | None = None

    def add(self, row: Row, problem: RowError) -> None:
        """Count a row, and keep it for the error message and for the `skip_bad` file."""
        self.count += 1
        if len(self.shown_lines) < MAX_SHOWN:
            self.shown_lines.append(f"{self.path}:{row.line}: {problem}")
        if self.skip_bad is not None:
            reject = {"file": str(self.path), "line": row.line, "reason": str(problem)}
            self._pending.append(json.dumps({**reject, "row": row.raw}, allow_nan=False))
            if len(self._pending) >= _FLUSH_ROWS:
                self.flush()

    def flush(self) -> None:
        """Write the pending rejected rows to disk."""
        if not self._pending or self.skip_bad is None:
            return
        try:
            self._append_rejects(self.skip_bad)
        except OSError as error:
            reason = error.strerror or str(error)
            kind = ResourceError if error.errno in _STORAGE_ERRORS else InputError
            todo = (
                "free space or name another file" if kind is ResourceError else "name another file"
            )
            raise kind(
                f"--skip-bad {self.skip_bad}: cannot be written ({reason}); {todo}"
            ) from error
        self._pending.clear()

    def make_error(self, num_rows: int, *, last_line: str | None = None) -> InputError:
        """Return the error with the first malformed rows, `last_line`, and the count."""
        lines = [*self.shown_lines, *([last_line] if last_line else [])]
        if self.count:
            limit_note = f" (the first {MAX_SHOWN} are shown)" if self.count > MAX_SHOWN else ""
            lines.append(
                f"{self.path}: {self.count} of {num_rows} rows are malformed{limit_note}; "
                "fix them, or skip them: --skip-bad rejects.jsonl"
            )
        return InputError("\n".join(lines))

    def _append_rejects(self, path: Path) -> None:
        with path.open("ab+") as file:
            if self._written_hashes is None:
                file.seek(0)
                self._written_hashes = {hash(line.rstrip(b"\r\n")) for line in file}
                if file.tell() and not _ends_with_newline(path):
                    file.write(b"\n")
            for reject in self._pending:
                line = reject.encode("ascii")
                if hash(line) not in self._written_hashes:
                    self._written_hashes.add(hash(line))
                    file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
