"""Collect the malformed rows of one file: count all, show the problems, write all to `--skip-bad`.

A rejected row is one JSON line {file, line, reason, row}; `row` is its original text. Rejected rows
are appended, and synced to disk when reading ends. A line that is already in the file is not
written again, so reading again after an interruption does not change it.
"""

import errno
import json
import os
from collections import Counter
from pathlib import Path

from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Row
from upbring.errors import InputError, ResourceError
from upbring.plurals import format_count

MAX_SHOWN = 20  # different problems
_MAX_LINES = 4  # listed of the rows with the same problem
_FLUSH_ROWS = 256
_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


class Malformed:
    """Counts the malformed rows of a file and keeps what the error message needs."""

    def __init__(self, path: Path, skip_bad: Path | None) -> None:
        self.path = path
        self.skip_bad = skip_bad
        self.count = 0
        self._problems: dict[str, list[int]] = {}  # the lines of each, at most _MAX_LINES
        self._counts: Counter[str] = Counter()
        self._pending: list[str] = []
        self._written_hashes: set[int] | None = None

    def add(self, row: Row, problem: RowError) -> None:
        """Count a row, and keep it for the error message and for the `skip_bad` file."""
        self.count += 1
        text = str(problem)
        if text in self._problems or len(self._problems) < MAX_SHOWN:
            lines = self._problems.setdefault(text, [])
            self._counts[text] += 1
            if len(lines) < _MAX_LINES:
                lines.append(row.line)
        if self.skip_bad is not None:
            reject = {"file": str(self.path), "line": row.line, "reason": text}
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

    @property
    def shown_lines(self) -> list[str]:
        """The first problems, each with its first row and the lines of more rows that have it."""
        return [
            f"{self.path}:{lines[0]}: {text}{_format_more(lines[1:], self._counts[text] - 1)}"
            for text, lines in self._problems.items()
        ]

    @property
    def num_not_shown(self) -> int:
        """The number of rows whose problem is not among those shown."""
        return self.count - self._counts.total()

    def summary(self, num_rows: int) -> str:
        """Return how many rows are malformed."""
        return f"{format_count(self.count, 'row', total=num_rows, verb='is')} malformed"

    def main_problem(self, num_rows: int) -> str:
        """Return the problem that most of the file's rows have; '' if there is none."""
        for text, count in self._counts.most_common(1):
            if count > num_rows / 2 and count > 1:
                return f"; is the format wrong? {count:,} have the same problem: {text}"
        return ""

    def make_error(self, num_rows: int, *, last_line: str | None = None) -> InputError:
        """Return the error with the first malformed rows, `last_line`, and the count."""
        lines = [*self.shown_lines, *([last_line] if last_line else [])]
        if self.count:
            limit_note = (
                f" (the first {MAX_SHOWN} problems are shown)" if self.num_not_shown else ""
            )
            lines.append(
                f"{self.path}: {self.summary(num_rows)}{limit_note}; "
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


def _format_more(lines: list[int], count: int) -> str:
    """Return the lines of more rows with the same problem.

    >>> _format_more([], 0), _format_more([4], 1), _format_more([3, 4, 9], 200)
    ('', ' (also line 4)', ' (also 200 more rows: lines 3, 4, 9, …)')
    """
    if not lines:
        return ""
    if count == 1:
        return f" (also line {lines[0]})"
    dots = ", …" if count > len(lines) else ""
    return f" (also {format_count(count, 'more row')}: lines {', '.join(map(str, lines))}{dots})"


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
