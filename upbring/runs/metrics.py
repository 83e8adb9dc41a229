"""JSON Lines files of a run: metrics and samples, one JSON object per line, in step order.

A line is in the file when `write` returns, and on the disk when `sync` returns. A process that dies
leaves at most an incomplete last line, which readers ignore. Plots are made from these files by
`report`.
"""

import hashlib
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
TIME_KEYS = frozenset({"time", "seconds"})  # they differ between equal runs
RESERVED_KEYS = frozenset({"step", "kind", "time", "not_finite"})


class JsonLinesFile:
    """An append-only JSON Lines file; each line contains its `step`."""

    def __init__(self, path: Path, *, disk: durable.Disk = durable.DISK) -> None:
        self.path = path
        self._disk = disk
        with durable.explain_os_errors(path, disk=disk):
            _drop_torn_line(path)
            self._file = FileIO(path, "ab", opener=durable.open_regular)

    def append(self, step: int, value: Mapping[str, JSON]) -> None:
        """Append one line; if the write fails, the file is unchanged."""
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
        """Flush all lines to the disk."""
        with durable.explain_os_errors(self.path, disk=self._disk):
            self._disk.sync(self._file)

    def truncate_after(self, step: int) -> int:
        """Remove the lines after `step` and unreadable lines; return how many were removed.

        A checkpoint syncs the lines up to its step, so that only later lines can be unreadable.
        """
        with durable.explain_os_errors(self.path, disk=self._disk):
            lines = self.path.read_bytes().splitlines(keepends=True)
        kept_lines = [line for line in lines if _step_of_line(line) <= step]
        if len(kept_lines) < len(lines):
            self.close()
            durable.write_bytes(self.path, b"".join(kept_lines), disk=self._disk)
            self._file = FileIO(self.path, "ab", opener=durable.open_regular)
        return len(lines) - len(kept_lines)

    def fingerprint(self) -> dict[str, JSON]:
        """Return the number of lines and a hash of them, without the times of a step."""
        digest = hashlib.sha256()
        with durable.explain_os_errors(self.path, disk=self._disk):
            lines = self.path.read_bytes().splitlines()
        for line in lines:
            value = _parse_line(line) or {}
            kept = {key: each for key, each in value.items() if key not in TIME_KEYS}
            digest.update(json.dumps(kept, sort_keys=True).encode())
        return {"lines": len(lines), "sha256": digest.hexdigest()}

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
    """The metrics file of a run."""

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
        """Append the metrics of a step; NaN and infinity become null, listed in `not_finite`."""
        assert not RESERVED_KEYS & set(values), (
            f"reserved metric names: {RESERVED_KEYS & set(values)}"
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
    """The metrics of one step; NaN and infinity are restored."""

    step: int
    kind: MetricsKind
    time: float
    values: dict[str, float]


def read_metrics(path: Path) -> list[MetricsRecord]:
    """Return all records of a file, which may still be growing."""
    return list(iter_records(path))


def iter_records(path: Path) -> Iterator[MetricsRecord]:
    """Yield the records one by one, so that a caller gets those before a damaged line."""
    return (_parse_record(line, location=where) for where, line in read_lines(path))


def read_lines(path: Path) -> Iterator[tuple[str, dict[str, JSON]]]:
    """Yield the location (path:line) and value of each line; skip an incomplete last line."""
    if not path.exists():
        return
    with durable.explain_os_errors(path), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            value = _parse_line(line)
            if value is None:
                preview = format_value(line.decode(errors="replace"))
                raise InputError(
                    f"{path}:{number}: {preview} is not a JSON object; delete that line"
                )
            yield f"{path}:{number}", value


def last_record(
    path: Path, *, kind: MetricsKind = "train", window: int = 2**16
) -> MetricsRecord | None:
    """Return the last record of a kind; only the last `window` bytes are read."""
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
            f"{location}: is not a metrics record ({error}); delete that line"
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
    """Remove an incomplete last line."""
    if not path.exists():
        return
    with open(path, "r+b", opener=durable.open_regular) as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
