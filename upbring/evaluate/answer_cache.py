"""Every answer that is judged, kept on disk as it is given: a second run asks only what is missing.

A row is found again by a key of all that decides it: suite, the subject's identity, the prompt. An
answer is on the disk when its chunk is done; a process that dies leaves at most a torn last line,
which nobody reads. `finish` writes the file anew with the verdicts, which come later.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.evaluate.model_protocol import Named, fingerprint

CHUNK = 32
Row = dict[str, JSON]
Make = Callable[[list[int]], Sequence[Mapping[str, JSON]]]


@dataclass(frozen=True, slots=True)
class Item:
    """Something to ask: as people read it, and what else decides the answer."""

    prompt: str
    decides: tuple[object, ...] = ()


class Journal:
    """The rows of an evaluation; without a path they live in memory alone."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        poll: Callable[[], None] = lambda: None,
        progress: Callable[[str, int], None] = lambda *_: None,
        chunk: int = CHUNK,
    ) -> None:
        self.path, self._poll, self._progress, self._chunk = path, poll, progress, chunk
        self._rows: dict[str, Row] = {}
        if path is not None and path.is_file():
            self._rows = {str(row["key"]): row for row in _read(path)}

    def kept(
        self, suite: str, subject: Named, items: Sequence[Item], *, make: Make, part: str = ""
    ) -> list[Row]:
        """Return the row of each item; `make` gives `response` and more for those that lack one."""
        keys = _keys(suite, part, subject.identity, items)
        missing = [i for i, key in enumerate(keys) if key not in self._rows]
        for start in range(0, len(missing), self._chunk):
            self._poll()
            chosen = missing[start : start + self._chunk]
            made = make(chosen)
            assert len(made) == len(chosen), f"{suite}: {len(made)} answers to {len(chosen)}"
            new: list[Row] = [
                {
                    "suite": suite,
                    "model": subject.name,
                    "prompt": items[i].prompt,
                    "response": "",
                    "verdicts": {},
                    **found,
                    "key": keys[i],
                }
                for i, found in zip(chosen, made, strict=True)
            ]
            self._append(new)
        if missing:
            self._progress(f"{suite}, {subject.name}", len(missing))
        for key in keys:
            self._rows[key]["model"] = subject.name  # it may be called otherwise this time
        return [self._rows[key] for key in keys]

    def finish(self) -> None:
        """Write every row with its verdicts."""
        if self.path is not None:
            durable.write_bytes(self.path, b"".join(map(_line, self._rows.values())))

    def _append(self, rows: Sequence[Row]) -> None:
        self._rows |= {str(row["key"]): row for row in rows}
        if self.path is None:
            return
        data = b"".join(map(_line, rows))
        with durable.explained(self.path, need=len(data)):
            _trim(self.path)
            with FileIO(self.path, "ab") as file:
                durable.DISK.write(file, data)
                durable.DISK.sync(file)


def judge(rows: Sequence[Row], verdicts: Sequence[Mapping[str, float | str | None]]) -> None:
    """Write down what was said of each answer."""
    for row, verdict in zip(rows, verdicts, strict=True):
        before = row["verdicts"]
        row["verdicts"] = {**(before if isinstance(before, Mapping) else {}), **verdict}


def responses(rows: Sequence[Row]) -> list[str]:
    """Return what was answered."""
    return [str(row["response"]) for row in rows]


def _keys(suite: str, part: str, identity: str, items: Sequence[Item]) -> list[str]:
    """Return a key for each item; what is asked twice has two."""
    keys: list[str] = []
    seen: Counter[str] = Counter()
    for item in items:
        key = fingerprint(suite, part, identity, item.prompt, item.decides)
        seen[key] += 1
        keys.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return keys


def _line(row: Mapping[str, JSON]) -> bytes:
    text = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace")


def _trim(path: Path) -> None:
    """Drop a torn last line, so that what follows stands on a line of its own."""
    if path.is_file():
        with path.open("r+b") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)


def _read(path: Path) -> list[Row]:
    """Return the rows of a file; a torn last line is left out."""
    rows: list[Row] = []
    with durable.explained(path), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict) or not {"key", "response", "verdicts"} <= row.keys():
                raise InputError(
                    f"{path}:{number}: is no answer that `upbring evaluate` wrote; delete that "
                    "line, or choose another folder with --to"
                )
            rows.append(row)
    return rows
