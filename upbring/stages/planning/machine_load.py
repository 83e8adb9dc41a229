"""The load that other programs put on the machine while a speed is measured.

A speed is not corrected for the load. At every matrix product threads wait for the slowest of them,
so a shared core costs more than its share: estimates from a busy machine of two cores were 2 to 7
times too long for an idle one. Nor is it known whether the run will share the machine with the same
programs. The load is therefore reported next to the estimate.

Excluded: the load of a GPU.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

REPORTED_LOAD = 0.15  # of the cores; less is normal on an idle machine
MIN_BUSY_SHARE = 0.5  # of the own CPU time that a system must report, or it does not count


@dataclass
class LoadMeter:
    """Used as a `with` block; afterwards `other_load` is the share of the cores that others used.

    It is None where the system does not count CPU time.
    """

    other_load: float | None = None
    _started_at: float = field(default=0.0, init=False)
    _own_seconds: float = field(default=0.0, init=False)

    def __enter__(self) -> Self:
        psutil.cpu_percent()  # the next call returns the mean since this one
        self._started_at, self._own_seconds = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.other_load = compute_other_load(
            busy=psutil.cpu_percent() / 100,
            own_seconds=time.process_time() - self._own_seconds,
            seconds=time.perf_counter() - self._started_at,
            cores=psutil.cpu_count() or 1,
        )


def compute_other_load(
    *, busy: float, own_seconds: float, seconds: float, cores: int
) -> float | None:
    """Return the share of `cores` that other processes used, or None where it is not known.

    `busy` is the share that all processes used together, `own_seconds` the CPU time of this one.

    >>> compute_other_load(busy=0.9, own_seconds=1.0, seconds=2.0, cores=2)
    0.65
    """
    own = own_seconds / (seconds * cores)
    if busy < MIN_BUSY_SHARE * own:
        return None
    return max(0.0, busy - own)


def highest_load(loads: Iterable[float | None]) -> float | None:
    """Return the highest of several loads, or None if one of them is unknown."""
    known = list(loads)
    return None if None in known else max((each or 0.0 for each in known), default=0.0)


def describe_load(other_load: float | None) -> str:
    """Return a remark on the load for the readers of an estimate, or an empty string.

    >>> describe_load(0.432)
    'other programs used 43 % of the cores during the measurement, and this is for that load'
    """
    if other_load is None:
        return "measured at an unknown load, since this system does not report it"
    if other_load < REPORTED_LOAD:
        return ""
    share = f"{100 * other_load:.0f} % of the cores"
    return f"other programs used {share} during the measurement, and this is for that load"
