"""Training progress for the user: a progress bar on a terminal, plain lines elsewhere.

Rates are means over the last steps, so that the remaining time follows a change of speed. A metric
that leaves its healthy range is reported once, with advice. A `Display` of several stages replaces
the bar. Excluded: recording, which is done by `run_log`.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.padding import Padding
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from upbring import durable
from upbring.terminal import Console

WINDOW = 50  # updates that rates are averaged over
BAR_WIDTH = 20


@dataclass(frozen=True)
class Band:
    """The healthy range of a metric, and advice for values outside of it."""

    low: float | None
    high: float | None
    advice: str

    def contains(self, value: float) -> bool:
        """Whether `value` is in the range; NaN never is."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        if self.low is None:
            return f"at most {format_number(self.high or 0.0)}"
        if self.high is None:
            return f"at least {format_number(self.low)}"
        return f"{format_number(self.low)} to {format_number(self.high)}"


class Display(Protocol):
    """A display of several stages, one of which is this training."""

    @property
    def console(self) -> Console:
        """The console for messages, which appear above the display."""

    def suspended(self) -> AbstractContextManager[None]:
        """Release the terminal to child processes that print themselves."""

    @property
    def text_width(self) -> int:
        """The number of characters available next to the bar."""

    def advance(
        self, step: int, total: int, summary: str, key_metrics: Mapping[str, float]
    ) -> None:
        """Show the progress, a summary line and the most important metrics."""

    def warn(self, text: str) -> None:
        """Show a warning."""


def process_memory() -> tuple[int | None, int | None]:
    """Return the current and the peak memory of this process in bytes."""
    return durable.process_memory_bytes(), durable.peak_process_memory_bytes()


class Progress:
    """Shows the progress of `total_steps` steps; used as a `with` block."""

    def __init__(
        self,
        total_steps: int,
        *,
        console: Console | None = None,
        print_interval_seconds: float = 10.0,
        shown_metrics: Sequence[str] = ("loss", "learning_rate"),
        bands: Mapping[str, Band] | None = None,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], tuple[int | None, int | None]] = process_memory,
        display: Display | None = None,
    ) -> None:
        self.total_steps = total_steps
        self.console = console or Console(stderr=True)
        self._print_interval = print_interval_seconds
        self._shown_metrics = tuple(shown_metrics)
        self._bands = dict(bands or {})
        self._clock = clock
        self._memory = memory
        self._display = display
        self._warned_metrics: set[str] = set()
        self._last_printed_at: float | None = None
        # tokens and seconds of the last steps, without evaluations and checkpoints between them
        self._history: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if self._display is None and has_bars(self.console):
            columns = (
                BarColumn(bar_width=BAR_WIDTH),
                TextColumn("{task.description}", markup=False),
            )
            self._bar = Bar(*columns, console=self.console)
            self._task = self._bar.add_task("starting", total=self.total_steps)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def update(
        self, step: int, values: Mapping[str, float], *, tokens: int = 0, seconds: float = 0.0
    ) -> None:
        """Show that `step` is done, which trained on `tokens` tokens in this time."""
        now = self._clock()
        self._history.append((tokens, seconds))
        self._warn_outside_bands(step, values)
        if self._display is not None:
            key_metrics = {name: values[name] for name in self._shown_metrics[:1] if name in values}
            summary = self._format_line(step, values, max_width=self._display.text_width)
            self._display.advance(step, self.total_steps, summary, key_metrics)
        elif self._bar is not None:
            text = self._format_line(step, values, max_width=self.console.width - BAR_WIDTH - 1)
            self._bar.update(self._task, completed=step, description=text)
        elif self._is_due(now, step):
            self._last_printed_at = now
            self.print_line(self._format_line(step, values))

    @property
    def has_display(self) -> bool:
        """Whether a display of several stages shows the progress."""
        return self._display is not None

    @property
    def line_width(self) -> int | None:
        """The number of characters on a line of the terminal; None for other outputs."""
        return self.console.width if self.console.is_terminal else None

    def print_line(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        make_log(self.console)(text)

    def _is_due(self, now: float, step: int) -> bool:
        is_edge = self._last_printed_at is None or step >= self.total_steps
        return is_edge or now - (self._last_printed_at or 0.0) >= self._print_interval

    def _format_line(
        self, step: int, values: Mapping[str, float], *, max_width: int | None = None
    ) -> str:
        """Return a step as a line, without the least important parts if it is too wide."""
        shown = [
            f"{_metric_title(name)} {format_number(values[name])}"
            for name in self._shown_metrics
            if name in values
        ]
        now, peak = self._memory()
        highest = "" if peak is None else f" (peak {durable.format_size(peak)})"
        parts = [(0, f"step {step:,}/{self.total_steps:,}")]
        parts += [(3 if index else 1, text) for index, text in enumerate(shown)]
        parts += zip((4, 2), self._rates(step), strict=False)
        parts += [] if now is None else [(5, f"memory {durable.format_size(now)}{highest}")]
        while max_width is not None and len(_join_parts(parts)) > max_width and len(parts) > 1:
            parts.remove(max(parts))
        return _join_parts(parts)

    def _rates(self, step: int) -> list[str]:
        """Return tokens per second (may be empty) and the time left for training steps."""
        tokens, seconds = (sum(each) for each in zip(*self._history, strict=True))
        if seconds <= 0:
            return []
        rate = tokens / seconds
        left = (self.total_steps - step) * seconds / len(self._history)
        is_last = step >= self.total_steps  # an evaluation and saving may follow
        return [
            f"{rate:,.0f} tokens/s" if rate else "",
            "" if is_last else f"{format_duration(left)} left",
        ]

    def _warn_outside_bands(self, step: int, values: Mapping[str, float]) -> None:
        for name, band in self._bands.items():
            if (
                name in values
                and name not in self._warned_metrics
                and not band.contains(values[name])
            ):
                self._warned_metrics.add(name)
                problem = f"{_metric_title(name)} is {format_number(values[name])}"
                warning = f"step {step:,}: {problem}; healthy is {band}. {band.advice}"
                if self._display is not None:
                    self._display.warn(warning)
                self.print_line(warning)


def make_log(console: Console) -> Callable[[str], None]:
    """Return a function that prints a message; a terminal breaks its lines between words."""

    def log(text: str) -> None:
        if not console.is_terminal:
            console.print(text, markup=False, highlight=False, soft_wrap=True)
            return
        for line in text.split("\n"):
            indent = len(line) - len(line.lstrip(" "))
            wrapped = Padding(Text(line.lstrip(" ")), (0, 0, 0, indent), expand=False)
            console.print(wrapped if line.strip() else "", markup=False, highlight=False)

    return log


def has_bars(console: Console) -> bool:
    """Whether the console can show progress bars."""
    return console.is_terminal and not console.is_dumb_terminal


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> format_duration(4000), format_duration(61.4), format_duration(5)
    ('1 h 6 min', '1 min 1 s', '5 s')
    """
    total = round(seconds)
    sizes = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for (unit, scale), (lesser, part) in itertools.pairwise(sizes):
        if total >= scale:
            return f"{total // scale} {unit} {total % scale // part} {lesser}"
    return f"{total} s"


def _join_parts(parts: Sequence[tuple[int, str]]) -> str:
    return "  ".join(text for _, text in parts if text)


def _metric_title(name: str) -> str:
    return name.replace("_", " ")


def format_number(value: float) -> str:
    """Return a number with four digits, in scientific notation if it is below 0.001."""
    return f"{value:.2e}" if value and abs(value) < 1e-3 else f"{value:.4g}"  # noqa: PLR2004 -- see the docstring
