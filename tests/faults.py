"""Disks that fail on request."""

import errno
import os
from pathlib import Path
from typing import Never

from upbring.durable import Disk


class CountingDisk(Disk):
    """Works, and records its operations."""

    def __init__(self) -> None:
        self.operations: list[str] = []

    def before(self, operation: str, path: Path) -> None:
        del path
        self.operations.append(operation)


class FailingDisk(CountingDisk):
    """Fails from its operation number `first` on, for as long as `num_failures` says."""

    def __init__(self, first: int, *, code: int = errno.ENOSPC, num_failures: int = 1) -> None:
        super().__init__()
        self.failing = range(first, first + num_failures)
        self.code = code

    def before(self, operation: str, path: Path) -> None:
        super().before(operation, path)
        if len(self.operations) - 1 in self.failing:
            raise OSError(self.code, os.strerror(self.code), str(path))


class DeadlyDisk(CountingDisk):
    """Ends the process, as kill -9 would, just before its operation number `last`."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def before(self, operation: str, path: Path) -> None:
        super().before(operation, path)
        if len(self.operations) - 1 == self.last:
            _end()


class FullDisk(Disk):
    """Has `num_free` bytes left."""

    def __init__(self, num_free: int) -> None:
        self.num_free = num_free

    def free_bytes(self, path: Path) -> int:
        del path
        return self.num_free


def _end() -> Never:
    os._exit(9)
