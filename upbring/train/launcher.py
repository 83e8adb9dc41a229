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
EXIT_PEER_LOST = 70  # exit code of a worker that another one left alone: never the cause
EXIT_WORKER_KILLED = 3  # exit code of a job whose worker was killed
GRACE_SECONDS = 10.0  # for the others, to say what they have to say
POLL_SECONDS = 0.05
MAX_STDERR_LINES = 20

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


def should_launch(count: int) -> bool:
    """Whether `count` processes are to be started here: more than one, and nobody did so yet."""
    return count > 1 and "WORLD_SIZE" not in os.environ


def launch(arguments: Sequence[str], count: int) -> int:
    """Run the command line `arguments` in `count` processes; return the exit code of them all."""
    with (
        tempfile.TemporaryDirectory(prefix="upbring-", ignore_cleanup_errors=True) as folder,
        Interruption(log=_ignore_message) as interruption,
    ):
        workers = WorkerGroup(count, Path(folder), interruption)
        try:
            workers.start(arguments)
            workers.wait()
        finally:
            workers.kill()
        if message := workers.failure_message():
            sys.stderr.write(f"{message}\n")
        return workers.exit_code()


@dataclass(eq=False)
class WorkerGroup:
    """The workers of a job."""

    count: int
    folder: Path
    interruption: Interruption
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    exit_codes: dict[int, int] = field(default_factory=dict)  # rank to exit code, as they ended
    deadline: float | None = None
    has_forwarded_signal: bool = False

    def start(self, arguments: Sequence[str]) -> None:
        """Start all workers."""
        home = str(Path(upbring.__file__).parents[1])
        command = [sys.executable, "-P", "-c", WORKER, home, *arguments]
        for rank in range(self.count):
            with self._stderr_file(rank).open("wb") as stderr:
                worker = subprocess.Popen(  # noqa: S603 -- this program, with its own words
                    command,
                    env={**os.environ, **self._worker_environment(rank)},
                    stdin=subprocess.PIPE,  # never written to: its end tells that we are gone
                    stdout=None if rank == 0 else subprocess.DEVNULL,
                    stderr=None if rank == 0 else stderr,
                    start_new_session=True,  # so that a terminal's Ctrl-C reaches us alone
                )
            self.workers.append(worker)

    def _worker_environment(self, rank: int) -> dict[str, str]:
        return {
            RENDEZVOUS: str(self.folder / "rendezvous"),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self.count),
            "LOCAL_WORLD_SIZE": str(self.count),
        }

    def wait(self) -> None:
        """Return when all have ended, or when one failed and the others had their time."""
        while len(self.exit_codes) < self.count:
            self._forward_signal()
            for rank, worker in enumerate(self.workers):
                code = worker.poll()
                if code is not None and rank not in self.exit_codes:
                    self.exit_codes[rank] = code
                    if self._is_failure(code) and self.deadline is None:
                        self.deadline = time.monotonic() + GRACE_SECONDS
            if self.deadline is not None and time.monotonic() > self.deadline:
                return
            time.sleep(POLL_SECONDS)

    def _forward_signal(self) -> None:
        """Hand a signal on to all workers, once."""
        number = self.interruption.signal_number
        if number is None or self.has_forwarded_signal:
            return
        self.has_forwarded_signal = True
        for worker in self.workers:
            worker.send_signal(number)

    def _is_failure(self, code: int) -> bool:
        number = self.interruption.signal_number
        return code != 0 and (number is None or code not in {128 + number, -number, EXIT_PEER_LOST})

    def kill(self) -> None:
        """End whoever is still at work."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            if worker.stdin is not None:
                worker.stdin.close()

    def failure_message(self) -> str | None:
        """Return which worker failed and why, unless the first one has said it already."""
        rank = self._failed_rank()
        if rank is None or (rank == 0 and self.exit_codes[0] > 0):
            return None
        worker_name, code = (
            f"process {rank + 1} of {self.count} (rank {rank})",
            self.exit_codes[rank],
        )
        if code < 0:
            hint = " (out of memory?)" if signal.Signals(-code).name == "SIGKILL" else ""
            return (
                f"{worker_name} was killed by {signal.Signals(-code).name}{hint}, and the others were "
                "ended; what was saved is intact, go on with `upbring resume`"
            )
        stderr_lines = (
            self._stderr_file(rank).read_text(encoding="utf-8", errors="replace").splitlines()
        )
        return "\n".join(
            [f"{worker_name} ended with exit code {code}:", *stderr_lines[-MAX_STDERR_LINES:]]
        )

    def exit_code(self) -> int:
        """Return the exit code of the job."""
        rank = self._failed_rank()
        if rank is not None:
            return EXIT_WORKER_KILLED if self.exit_codes[rank] < 0 else self.exit_codes[rank]
        if self.interruption.signal_number is not None:
            return self.exit_codes.get(0, 0) and 128 + self.interruption.signal_number
        return EXIT_WORKER_KILLED if any(self.exit_codes.values()) else 0

    def _failed_rank(self) -> int | None:
        """Return the worker whose end was the cause: killed, or the first that says why."""
        failures = {
            r: c for r, c in self.exit_codes.items() if self._is_failure(c) and c != EXIT_PEER_LOST
        }
        killed = [rank for rank, code in failures.items() if code < 0]
        return next(iter([*killed, *sorted(failures)]), None)

    def _stderr_file(self, rank: int) -> Path:
        return self.folder / f"said-{rank}"


def exit_with_launcher() -> None:
    """Let this worker save and leave, as after a signal, when the process that started it is gone.

    It holds our standard input open and never writes to it.
    """

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)  # which the main thread hears, wherever it waits

    threading.Thread(target=watch, name="launcher", daemon=True).start()


def _ignore_message(_: str) -> None:
    """Say nothing: the first worker does."""
