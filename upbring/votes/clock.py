"""The store's time: it never runs backwards and ignores changes of the system's clock.

The system's clock is read when the store opens; from then on, elapsed time is counted by the
monotonic clock. If the system's clock is behind the newest time in the store, time continues from
there. So a lease neither ends early nor lasts for hours when someone sets the clock.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

MAX_DRIFT_SECONDS = 60.0  # between the two clocks, until it counts as a jump


@dataclass(frozen=True, slots=True)
class ClockSource:
    """The two clocks of the system, replaceable in tests."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class StoreClock:
    """Returns seconds since 1970 that never decrease."""

    def __init__(
        self, source: ClockSource, *, newest: float, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        self._source, self._warn = source, warn
        wall = source.wall()
        self._start = max(wall, newest)
        self._monotonic_start = source.monotonic()
        self._drift = wall - self._start
        if -self._drift > MAX_DRIFT_SECONDS:
            warn(
                f"the system's clock is {format_jump(-self._drift)} behind the newest vote; times "
                "of votes continue from there. Set the clock"
            )

    def now(self) -> float:
        """Return the time; report a jump of the system's clock once."""
        now = self._start + self._source.monotonic() - self._monotonic_start
        drift = self._source.wall() - now
        if abs(drift - self._drift) > MAX_DRIFT_SECONDS:
            self._warn(
                f"the system's clock jumped by {format_jump(drift - self._drift)}; no vote and no "
                "lease is affected, and times of votes continue as before"
            )
            self._drift = drift
        return now


def format_jump(seconds: float) -> str:
    """Return a duration in the largest fitting unit.

    >>> format_jump(-7200), format_jump(90)
    ('-2.0 h', '90 s')
    """
    return f"{seconds / 3600:.1f} h" if abs(seconds) >= 3600 else f"{seconds:.0f} s"  # noqa: PLR2004 -- an hour
