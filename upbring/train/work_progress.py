"""Progress of work other than training steps: evaluations, reference log-probabilities, scoring.

Work that ends within a few seconds shows nothing. After that a terminal gets a bar with the time
left, and any other output gets a line every 15 seconds.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from rich.progress import BarColumn, Progress, TextColumn

from upbring.terminal import Console
from upbring.train.progress import BAR_WIDTH, format_duration, has_bars

SILENT_SECONDS = 5.0
LINE_SECONDS = 15.0

T = TypeVar("T")


class Track(Protocol):
    """A function that yields items and shows how many of `total` are done."""

    def __call__(self, items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
        """Yield the items."""


def no_tracking(items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
    """Yield the items and show nothing."""
    del total, label
    yield from items


def make_tracker(
    console: Console,
    *,
    silent_seconds: float = SILENT_SECONDS,
    line_seconds: float = LINE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Track:
    """Return a tracker that shows progress on `console`.

    A console that already shows a live display (the bar of a run, the stages of a pipeline) gets
    lines, which appear above it.
    """

    def track(items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
        started_at = shown_at = clock()
        bar: Progress | None = None
        try:
            for done, item in enumerate(items, start=1):
                yield item
                now = clock()
                if now - started_at < silent_seconds:
                    continue
                left = (now - started_at) * max(0, total - done) / done
                text = f"{label}: {done:,}/{total:,}, {format_duration(left)} left"
                if bar is None and has_bars(console) and not _is_live(console):
                    bar = _start_bar(console, total)
                if bar is not None:
                    bar.update(bar.task_ids[0], completed=done, description=text)
                elif shown_at == started_at or now - shown_at >= line_seconds:
                    console.print(text, markup=False, highlight=False, soft_wrap=True)
                    shown_at = now
        finally:
            if bar is not None:
                bar.stop()

    return track


def _is_live(console: Console) -> bool:
    """Whether the console shows a live display; rich allows one at a time."""
    return bool(getattr(console, "_live_stack", None) or getattr(console, "_live", None))


def _start_bar(console: Console, total: int) -> Progress:
    columns = (BarColumn(bar_width=BAR_WIDTH), TextColumn("{task.description}", markup=False))
    bar = Progress(*columns, console=console, transient=True)
    bar.add_task("", total=total)
    bar.start()
    return bar
