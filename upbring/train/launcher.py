"""Start, watch and stop several worker processes on this machine.

Each worker runs this program with the same arguments and its rank in the environment, as under
torchrun. The workers find each other through a file in a private folder, so that no port is open
beyond this machine; torchrun's rendezvous listens on all networks (docs/decisions/0010). Rank 0
prints; the stderr of the others is captured and shown if one of them fails.

When a worker dies, the others are stopped and the user sees which one died and why. A signal is
forwarded once. Excluded: several machines (use torchrun), and everything about tensors.
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
EXIT_PEER_LOST = 70  # exit code of a worker that lost another one: never the cause
EXIT_WORKER_KILLED = 3  # exit code of a job whose worker was killed
GRACE_SECONDS = 10.0  # for the other workers to report and exit
POLL_SECONDS = 0.05
MAX_STDERR_LINES = 20

# `-P` keeps the current folder off sys.path, because a user's file may be called `json.py`.
WORKER = (
    "import sys; home = sys.argv.pop(1); home in sys.path or sys.path.insert(0, home); "
    "from upbring.__main__ import main; sys.exit(main())"
)


class JobFailed(UpbringError):  # noqa: N818 -- a failed process has reported the error
    """Several processes did not finish."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def should_launch(count: int) -> bool:
    """Whether to start `count` processes here: more than one, and not started already."""
    return count > 1 and "WORLD_SIZE" not in os.environ


def launch(arguments: Sequence[str], count: int) -> int:
    """Run the command line `arguments` in `count` processes; return the job's exit code."""
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
    exit_codes: dict[int, int] = field(default_factory=dict)  # by rank, in the order of their ends
    deadline: float | None = None
    has_forwarded_signal: bool = False

    def start(self, arguments: Sequence[str]) -> None:
        """Start all workers."""
        home = str(Path(upbring.__file__).parents[1])
        command = [sys.executable, "-P", "-c", WORKER, home, *arguments]
        for rank in range(self.count):
            with self._stderr_file(rank).open("wb") as stderr:
                worker = subprocess.Popen(  # noqa: S603 -- this program with its own arguments
                    command,
                    env={**os.environ, **self._worker_environment(rank)},
                    stdin=subprocess.PIPE,  # never written to; closed when the launcher dies
                    stdout=None if rank == 0 else subprocess.DEVNULL,
                    stderr=None if rank == 0 else stderr,
                    start_new_session=True,  # so that Ctrl-C reaches the launcher alone
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
        """Return when all workers have ended, or one failed and the grace period is over."""
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
        """Forward a signal to all workers, once."""
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
        """Kill the workers that are still running."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            if worker.stdin is not None:
                worker.stdin.close()

    def failure_message(self) -> str | None:
        """Return which worker failed and why, or None if rank 0 has printed it already."""
        rank = self._failed_rank()
        if rank is None or (rank == 0 and self.exit_codes[0] > 0):
            return None
        worker_name = f"process {rank + 1} of {self.count} (rank {rank})"
        code = self.exit_codes[rank]
        if code < 0:
            hint = " (out of memory?)" if signal.Signals(-code).name == "SIGKILL" else ""
            return (
                f"{worker_name} was killed by {signal.Signals(-code).name}{hint}, and the others "
                "were stopped; saved checkpoints are intact, resume with `upbring resume`"
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
        """Return the rank that caused the failure: killed, or else the first that failed."""
        failures = {
            r: c for r, c in self.exit_codes.items() if self._is_failure(c) and c != EXIT_PEER_LOST
        }
        killed = [rank for rank, code in failures.items() if code < 0]
        return next(iter([*killed, *sorted(failures)]), None)

    def _stderr_file(self, rank: int) -> Path:
        return self.folder / f"said-{rank}"


def exit_with_launcher() -> None:
    """Stop this worker, as after a signal, when the launcher is gone.

    The launcher holds this process's standard input open and never writes to it.
    """

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)  # reaches the main thread wherever it waits

    threading.Thread(target=watch, name="launcher", daemon=True).start()


def _ignore_message(_: str) -> None:
    """Print nothing, because rank 0 does."""
