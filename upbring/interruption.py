"""Graceful shutdown: the first signal requests a stop, the second one stops immediately.

    with Interruption() as interruption:
        for step in steps:
            if interruption.is_requested: ...   # between steps: save, then return
            interruption.poll()                 # inside generation and evaluation

Handlers for Ctrl-C (SIGINT), SIGTERM and SIGHUP are installed only in the main thread. A signal
that the process was started to ignore (`nohup`, a background job) stays ignored.
"""

import contextlib
import os
import signal
import stat
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from upbring.errors import Interrupted

# SIGHUP, which Windows lacks: the terminal was closed
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
STOPPING_MESSAGE = "stopping after this step and saving; press again to stop immediately"
STDERR_DESCRIPTOR = 2
SIGHUP = getattr(signal, "SIGHUP", None)

Handler = Callable[[int, FrameType | None], object] | int | None


class ForcedStop(KeyboardInterrupt):
    """A second signal: exit now, without saving."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("stopped immediately; `upbring resume` continues from the last checkpoint")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class Interruption:
    """Handles Ctrl-C, SIGTERM and SIGHUP in a `with` block; nested blocks share the outer state."""

    def __init__(self, *, log: Callable[[str], None] | None = None) -> None:
        self._log = log or _write_to_stderr
        self._previous: dict[int, Handler] = {}
        self._outer: Interruption | None = None
        self._signal_number: int | None = None

    @property
    def signal_number(self) -> int | None:
        """The number of the received signal, or None."""
        return self._outer.signal_number if self._outer else self._signal_number

    @property
    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self.signal_number is not None

    def poll(self) -> None:
        """Raise `Interrupted` if a stop was requested."""
        number = self.signal_number
        if number is not None:
            name = signal.Signals(number).name
            raise Interrupted(
                f"stopped by {name}; resume with `upbring resume`", signal_number=number
            )

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._install(number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _install(self, number: int) -> None:
        current = signal.getsignal(number)
        owner = getattr(current, "__self__", None)
        if isinstance(owner, Interruption):
            self._outer = owner
        elif current not in {signal.SIG_IGN, None}:  # None: installed outside of Python
            self._previous[number] = current
            signal.signal(number, self._handle_signal)

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        _redirect_closed_terminal()
        if self._signal_number is not None:
            if number == SIGHUP:  # the system and the shell both send one
                return
            raise ForcedStop(number)
        self._signal_number = number
        self._log(STOPPING_MESSAGE)


def _redirect_closed_terminal() -> None:
    """Let standard streams of a terminal that is gone lead nowhere, so that a save goes on."""
    for descriptor in (0, 1, STDERR_DESCRIPTOR):
        with contextlib.suppress(OSError):
            is_device = stat.S_ISCHR(os.fstat(descriptor).st_mode)
            if is_device and not os.isatty(descriptor):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


def _write_to_stderr(text: str) -> None:
    """Write to the descriptor itself: the signal may have interrupted a buffered write."""
    with contextlib.suppress(OSError):
        os.write(STDERR_DESCRIPTOR, f"\n{text}\n".encode())
