"""Numbers and samples of a run as they arise: one JSON object a line, in the order of the steps.

A line is in the file when `write` returns, and on the disk when `sync` does. A process that dies
leaves at most a torn last line, which nobody reads. Figures are drawn elsewhere, from these files.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError, format_value

MetricsKind = Literal["train", "held_out"]
RESERVED_KEYS = frozenset({"step", "kind", "time", "not_finite"})


class JsonLinesFile:
    """A file of JSON lines that grows; each line carries the `step` that it belongs to."""

    def __init__(self, path: Path, *, disk: durable.Disk = durable.DISK) -> None:
        self.path = path
        self._disk = disk
        with durable.explain_os_errors(path, disk=disk):
            _drop_torn_line(path)
            self._file = FileIO(path, "ab")

    def append(self, step: int, value: Mapping[str, JSON]) -> None:
        """Write one line, or, when the disk fails, nothing."""
        text = json.dumps({"step": step, **value}, ensure_ascii=False, allow_nan=False) + "\n"
        data = text.encode(errors="backslashreplace")
        with durable.explain_os_errors(self.path, need=len(data), disk=self._disk):
            end = self._file.tell()
            try:
                self._disk.write(self._file, data)
            except OSError:
                self._file.truncate(end)
                raise

    def sync(self) -> None:
        """Force all lines to the disk."""
        with durable.explain_os_errors(self.path, disk=self._disk):
            self._disk.sync(self._file)

    def truncate_after(self, step: int) -> int:
        """Drop what was written after `step` or is unreadable; return how many lines that were.

        What a checkpoint relies on was synced with it, so that only later lines can be unreadable.
        """
        with durable.explain_os_errors(self.path, disk=self._disk):
            lines = self.path.read_bytes().splitlines(keepends=True)
        kept_lines = [line for line in lines if _step_of_line(line) <= step]
        if len(kept_lines) < len(lines):
            self.close()
            durable.write_bytes(self.path, b"".join(kept_lines), disk=self._disk)
            self._file = FileIO(self.path, "ab")
        return len(lines) - len(kept_lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class MetricsFile(JsonLinesFile):
    """The file of a run's numbers."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        disk: durable.Disk = durable.DISK,
    ) -> None:
        super().__init__(path, disk=disk)
        self._clock = clock

    def write(self, step: int, values: Mapping[str, float], *, kind: MetricsKind = "train") -> None:
        """Write the numbers of a step; one that is not finite becomes null and is named."""
        assert not RESERVED_KEYS & set(values), (
            f"a metric may not be called {RESERVED_KEYS & set(values)}"
        )
        not_finite = {
            name: str(float(value)) for name, value in values.items() if not math.isfinite(value)
        }
        record: dict[str, JSON] = {"kind": kind, "time": round(self._clock(), 3)}
        record |= {name: None if name in not_finite else value for name, value in values.items()}
        if not_finite:
            record["not_finite"] = not_finite
        self.append(step, record)


@dataclass(frozen=True)
class MetricsRecord:
    """The numbers of one step; those that were not finite are so again."""

    step: int
    kind: MetricsKind
    time: float
    values: dict[str, float]


def read_metrics(path: Path) -> list[MetricsRecord]:
    """Return all records of a file, which somebody may still be writing."""
    return list(iter_records(path))


def iter_records(path: Path) -> Iterator[MetricsRecord]:
    """Yield record after record, so that those before a damaged line can be kept."""
    return (_parse_record(line, location=where) for where, line in read_lines(path))


def read_lines(path: Path) -> Iterator[tuple[str, dict[str, JSON]]]:
    """Yield each whole line's place and value; a torn last line is left out."""
    if not path.exists():
        return
    with durable.explain_os_errors(path), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            value = _parse_line(line)
            if value is None:
                preview = format_value(line.decode(errors="replace"))
                raise InputError(f"{path}:{number}: {preview} is no JSON object; delete that line")
            yield f"{path}:{number}", value


def last_record(
    path: Path, *, kind: MetricsKind = "train", window: int = 2**16
) -> MetricsRecord | None:
    """Return the last record of its kind, reading no more than the end of the file."""
    if not path.exists():
        return None
    with durable.explain_os_errors(path), path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - window))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        value = _parse_line(line)
        if value is not None and value.get("kind") == kind:
            return _parse_record(value, location=str(path))
    return None


def _parse_record(value: Mapping[str, JSON], *, location: str) -> MetricsRecord:
    not_finite = value.get("not_finite")
    not_finite_values = not_finite if isinstance(not_finite, Mapping) else {}
    kind: MetricsKind = "held_out" if value.get("kind") == "held_out" else "train"
    try:
        numbers = {
            name: float(str(not_finite_values.get(name, number)))
            for name, number in value.items()
            if name not in RESERVED_KEYS
        }
        return MetricsRecord(int(str(value["step"])), kind, float(str(value["time"])), numbers)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{location}: is no record of metrics ({error}); delete that line"
        ) from error


def _parse_line(line: bytes) -> dict[str, JSON] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _step_of_line(line: bytes) -> float:
    value = _parse_line(line) if line.endswith(b"\n") else None
    step = value.get("step") if value else None
    return step if isinstance(step, int) else math.inf


def _drop_torn_line(path: Path) -> None:
    """Drop a torn last line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
