"""Several processes on this machine, started for the user, watched, and ended together.

Each worker is this program again, with the same words and a place of its own in the environment,
as under torchrun. They meet through a file in a private folder, so that nothing listens beyond this
machine; torchrun's own meeting place listens on every network (docs/decisions/0010). The first
worker speaks; what the others say is kept, and shown if one of them fails.

A worker that dies ends the others, and the user is told which and why. A signal is handed on once.
Left out: several machines, which are torchrun's, and everything about tensors.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import upbring
from upbring.errors import UpbringError
from upbring.interruption import Interruption

RENDEZVOUS = "UPBRING_RENDEZVOUS"
LOST = 70  # exit code of a worker that another one left alone: never the cause
KILLED = 3  # exit code of a job whose worker was killed
GRACE_SECONDS = 10.0  # for the others, to say what they have to say
POLL_SECONDS = 0.05
TOLD_LINES = 20

# `-P` keeps the current folder off the path, where a file of the user's might be called `json.py`.
WORKER = (
    "import sys; home = sys.argv.pop(1); home in sys.path or sys.path.insert(0, home); "
    "from upbring.__main__ import main; sys.exit(main())"
)


class JobFailed(UpbringError):  # noqa: N818 -- one of its processes has said what the error was
    """Several processes did not come to their end."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def is_wanted(count: int) -> bool:
    """Whether `count` processes are to be started here: more than one, and nobody did so yet."""
    return count > 1 and "WORLD_SIZE" not in os.environ


def launch(words: Sequence[str], count: int) -> int:
    """Run the command line `words` in `count` processes; return the exit code of them all."""
    with (
        tempfile.TemporaryDirectory(prefix="upbring-", ignore_cleanup_errors=True) as folder,
        Interruption(say=_keep_silent) as interruption,
    ):
        crew = Crew(count, Path(folder), interruption)
        try:
            crew.start(words)
            crew.wait()
        finally:
            crew.kill()
        if told := crew.cause():
            sys.stderr.write(f"{told}\n")
        return crew.exit_code()


@dataclass(eq=False)
class Crew:
    """The workers of a job."""

    count: int
    folder: Path
    interruption: Interruption
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ended: dict[int, int] = field(default_factory=dict)  # rank to exit code, as they ended
    deadline: float | None = None
    has_handed_on: bool = False

    def start(self, words: Sequence[str]) -> None:
        """Start all workers."""
        home = str(Path(upbring.__file__).parents[1])
        command = [sys.executable, "-P", "-c", WORKER, home, *words]
        for rank in range(self.count):
            with self._said(rank).open("wb") as said:
                worker = subprocess.Popen(  # noqa: S603 -- this program, with its own words
                    command,
                    env={**os.environ, **self._place(rank)},
                    stdin=subprocess.PIPE,  # never written to: its end tells that we are gone
                    stdout=None if rank == 0 else subprocess.DEVNULL,
                    stderr=None if rank == 0 else said,
                    start_new_session=True,  # so that a terminal's Ctrl-C reaches us alone
                )
            self.workers.append(worker)

    def _place(self, rank: int) -> dict[str, str]:
        return {
            RENDEZVOUS: str(self.folder / "rendezvous"),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self.count),
            "LOCAL_WORLD_SIZE": str(self.count),
        }

    def wait(self) -> None:
        """Return when all have ended, or when one failed and the others had their time."""
        while len(self.ended) < self.count:
            self._hand_on()
            for rank, worker in enumerate(self.workers):
                code = worker.poll()
                if code is not None and rank not in self.ended:
                    self.ended[rank] = code
                    if self._is_failure(code) and self.deadline is None:
                        self.deadline = time.monotonic() + GRACE_SECONDS
            if self.deadline is not None and time.monotonic() > self.deadline:
                return
            time.sleep(POLL_SECONDS)

    def _hand_on(self) -> None:
        """Hand a signal on to all workers, once."""
        number = self.interruption.signal_number
        if number is None or self.has_handed_on:
            return
        self.has_handed_on = True
        for worker in self.workers:
            worker.send_signal(number)

    def _is_failure(self, code: int) -> bool:
        number = self.interruption.signal_number
        return code != 0 and (number is None or code not in {128 + number, -number, LOST})

    def kill(self) -> None:
        """End whoever is still at work."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            if worker.stdin is not None:
                worker.stdin.close()

    def cause(self) -> str | None:
        """Return which worker failed and why, unless the first one has said it already."""
        rank = self._failed()
        if rank is None or (rank == 0 and self.ended[0] > 0):
            return None
        who, code = f"process {rank + 1} of {self.count} (rank {rank})", self.ended[rank]
        if code < 0:
            hint = " (out of memory?)" if signal.Signals(-code).name == "SIGKILL" else ""
            return (
                f"{who} was killed by {signal.Signals(-code).name}{hint}, and the others were "
                "ended; what was saved is intact, go on with `upbring resume`"
            )
        said = self._said(rank).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([f"{who} ended with exit code {code}:", *said[-TOLD_LINES:]])

    def exit_code(self) -> int:
        """Return the exit code of the job."""
        rank = self._failed()
        if rank is not None:
            return KILLED if self.ended[rank] < 0 else self.ended[rank]
        if self.interruption.signal_number is not None:
            return self.ended.get(0, 0) and 128 + self.interruption.signal_number
        return KILLED if any(self.ended.values()) else 0

    def _failed(self) -> int | None:
        """Return the worker whose end was the cause: killed, or the first that says why."""
        failures = {r: c for r, c in self.ended.items() if self._is_failure(c) and c != LOST}
        killed = [rank for rank, code in failures.items() if code < 0]
        return next(iter([*killed, *sorted(failures)]), None)

    def _said(self, rank: int) -> Path:
        return self.folder / f"said-{rank}"


def leave_with_the_launcher() -> None:
    """Let this worker save and leave, as after a signal, when the process that started it is gone.

    It holds our standard input open and never writes to it.
    """

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)  # which the main thread hears, wherever it waits

    threading.Thread(target=watch, name="launcher", daemon=True).start()


def _keep_silent(_: str) -> None:
    """Say nothing: the first worker does."""
