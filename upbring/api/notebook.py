"""Progress and messages of a call: in a notebook a bar that updates in place, elsewhere as usual.

In a notebook messages go to the cell's output as plain lines. The bar needs only what every
notebook has; widgets are not needed.
"""

import html
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from typing import Protocol

from upbring.terminal import Console
from upbring.train.progress import Display

WIDTH = 110  # characters of a line
MIN_SECONDS = 0.2  # between two updates of the bar

Content = dict[str, str]  # by MIME type


class Handle(Protocol):
    """An output of a cell that can be replaced."""

    def update(self, content: Content, *, raw: bool) -> object:
        """Replace the output."""


class Show(Protocol):
    """Shows an output in a cell; `IPython.display.display` with a display id."""

    def __call__(self, content: Content, *, raw: bool, display_id: bool) -> Handle | None:
        """Return the handle of the output."""


class NotebookProgress:
    """The progress of a training run in a notebook."""

    def __init__(self, show: Show, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = Console(
            file=sys.stdout, width=WIDTH, force_terminal=False, force_jupyter=False
        )
        self._show, self._clock = show, clock
        self._handle: Handle | None = None
        self._shown_at = float("-inf")

    @property
    def text_width(self) -> int:
        """The number of characters next to the bar."""
        return WIDTH

    def suspended(self) -> AbstractContextManager[None]:
        """Do nothing: child processes write to the same cell."""
        return nullcontext()

    def advance(
        self, step: int, total: int, summary: str, key_metrics: Mapping[str, float]
    ) -> None:
        """Update the bar, a few times a second and at the last step."""
        del key_metrics
        now = self._clock()
        if step < total and now - self._shown_at < MIN_SECONDS:
            return
        self._shown_at = now
        content = {
            "text/plain": summary,
            "text/html": f'<progress value="{step}" max="{total}"></progress> '
            f"<code>{html.escape(summary)}</code>",
        }
        if self._handle is None:
            self._handle = self._show(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def warn(self, text: str) -> None:
        """Do nothing: the training loop also prints the warning on the console."""


def make_display() -> Display | None:
    """Return the display of a notebook; None elsewhere."""
    show = notebook_display()
    return None if show is None else NotebookProgress(show)


def make_console() -> Console:
    """Return the console for messages: the cell of a notebook, else standard error."""
    if notebook_display() is None:
        return Console(stderr=True)
    return Console(file=sys.stdout, width=WIDTH, force_terminal=False, force_jupyter=False)


def make_log() -> Callable[[str], None]:
    """Return a function that prints a message."""
    return partial(make_console().print, markup=False, highlight=False, soft_wrap=True)


def notebook_display() -> Show | None:
    """Return `IPython.display.display` in the kernel of a notebook; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    show: Show = import_module("IPython.display").display
    return show
