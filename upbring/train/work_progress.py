"""Progress of work other than training steps: evaluations, tokenization, loading, scoring, export.

Work that ends within a few seconds shows nothing. After that a terminal gets a bar with the time
left, and any other output gets a line every 15 seconds. A thread shows it, so that work whose first
item takes long is not silent. Of nested work the innermost is shown.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from upbring.terminal import Console
from upbring.tracking import Track
from upbring.train.progress import BAR_WIDTH, format_duration, has_bars, make_log

SILENT_SECONDS = 5.0
LINE_SECONDS = 15.0
REFRESH_SECONDS = 0.5

T = TypeVar("T")


@dataclass(eq=False)
class Work:
    """A piece of work, and how much of it is done."""

    label: str
    total: int | None
    started_at: float
    done: int = 0

    def describe(self, now: float) -> str:
        """Return how much is done, and the time left; without a total, the elapsed time.

        >>> Work("reading", 20, 0.0, 5).describe(10.0), Work("loading", None, 0.0).describe(10.0)
        ('reading: 5/20, 30 s left', 'loading: 10 s so far')
        """
        elapsed = now - self.started_at
        if self.total is None or self.total <= 1:
            return f"{self.label}: {format_duration(elapsed)} so far"
        total = max(self.total, self.done)  # an estimate may be too low
        count = f"{self.label}: {self.done:,}/{total:,}"
        if self.done == 0:
            return f"{count}, {format_duration(elapsed)} so far"
        return f"{count}, {format_duration(elapsed * (total - self.done) / self.done)} left"


def make_tracker(
    console: Console,
    *,
    silent_seconds: float = SILENT_SECONDS,
    line_seconds: float = LINE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Track:
    """Return a tracker that shows progress on `console`, below any live display that it has."""
    return WorkDisplay(
        console, silent_seconds=silent_seconds, line_seconds=line_seconds, clock=clock
    ).track


class WorkDisplay:
    """Shows the innermost of the pieces of work that are under way."""

    def __init__(
        self,
        console: Console,
        *,
        silent_seconds: float,
        line_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._console, self._clock = console, clock
        self._silent_seconds, self._line_seconds = silent_seconds, line_seconds
        self._works: list[Work] = []  # the innermost last
        self._lock = threading.RLock()
        self._all_done = threading.Event()
        self._line_printed_at: float | None = None
        self._bar: Progress | None = None
        self._bar_work: Work | None = None

    def track(self, items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        """Yield the items and show how many are done."""
        work = self._begin(label, total)
        try:
            for item in items:
                yield item
                work.done += 1
                self.show()
        finally:
            self._end(work)

    def show(self) -> None:
        """Show the innermost work, if it is time to do so."""
        with self._lock:
            if not self._works:
                return
            now, work = self._clock(), self._works[-1]
            if now - self._works[0].started_at < self._silent_seconds:
                return
            if has_bars(self._console):
                self._show_bar(work, now)
            elif self._is_line_due(now):
                self._line_printed_at = now
                make_log(self._console)(work.describe(now))

    def _begin(self, label: str, total: int | None) -> Work:
        work = Work(label, total, self._clock())
        with self._lock:
            self._works.append(work)
            if len(self._works) == 1:
                self._all_done, self._line_printed_at = threading.Event(), None
                show_regularly = partial(self._show_regularly, self._all_done)
                threading.Thread(target=show_regularly, daemon=True).start()
        return work

    def _end(self, work: Work) -> None:
        with self._lock:
            self._works.remove(work)
            if self._works:
                return
            self._all_done.set()
            if self._bar is not None:
                self._bar.stop()
            self._bar = self._bar_work = None

    def _show_regularly(self, all_done: threading.Event) -> None:
        pause = self._silent_seconds
        while not all_done.wait(pause):
            self.show()
            pause = REFRESH_SECONDS

    def _is_line_due(self, now: float) -> bool:
        printed_at = self._line_printed_at
        return printed_at is None or now - printed_at >= self._line_seconds

    def _show_bar(self, work: Work, now: float) -> None:
        if self._bar is None:
            self._bar = _start_bar(self._console)
        if self._bar_work is not work:  # another total
            for task_id in self._bar.task_ids:
                self._bar.remove_task(task_id)
            self._bar.add_task("", total=work.total)
            self._bar_work = work
        self._bar.update(self._bar.task_ids[0], completed=work.done, description=work.describe(now))


def _start_bar(console: Console) -> Progress:
    text = TextColumn(
        "{task.description}",
        markup=False,
        table_column=Column(no_wrap=True, overflow="ellipsis"),
    )
    bar = Progress(BarColumn(bar_width=BAR_WIDTH), text, console=console, transient=True)
    bar.start()
    return bar
