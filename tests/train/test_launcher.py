"""Workers are started, watched and stopped together; the failed one is named, and none hangs."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import QUICK, curve, done, prepare
from tests.conftest import Figure, trials
from upbring.interruption import Interruption
from upbring.train import launcher
from upbring.train.launcher import EXIT_PEER_LOST, WorkerGroup

ROOT = Path(__file__).parents[2]
HANG = "import sys, threading; print('here', flush=True); threading.Event().wait()"
LONGER = ("--steps", "40", "--save-steps", "4", "--eval-steps", "40")
LISTENING = "0A"  # in /proc/net/tcp
LOOPBACK = "0100007F"


def by_rank(*programs: str) -> str:
    """Return a program that runs another program for each rank."""
    return f"import os; exec({list(programs)!r}[int(os.environ['RANK'])])"


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that launches workers with the given programs."""

    def start(*programs: str) -> int:
        monkeypatch.setattr(launcher, "WORKER", by_rank(*programs))
        monkeypatch.setattr(launcher, "GRACE_SECONDS", 0.5)
        return launcher.launch(["sft"], len(programs))

    return start


def ended(folder: Path, codes: dict[int, int], *, signal_number: int | None = None) -> WorkerGroup:
    """Return workers that ended with these exit codes."""
    interruption = Interruption()
    interruption._signal_number = signal_number
    group = WorkerGroup(2, folder, interruption, exit_codes=codes)
    (folder / "said-1").write_text("d.jsonl:1: is odd; correct it\n")
    return group


@pytest.mark.parametrize(
    ("codes", "signal_number", "code", "message"),
    [
        ({0: 0, 1: 0}, None, 0, None),
        ({0: 2, 1: 2}, None, 2, None),  # rank 0 has printed it
        (
            {0: EXIT_PEER_LOST, 1: 2},
            None,
            2,
            "process 2 of 2 (rank 1) ended with exit code 2:\nd.jsonl:1: ",
        ),
        (
            {0: EXIT_PEER_LOST, 1: -9},
            None,
            3,
            "process 2 of 2 (rank 1) was killed by SIGKILL (out of memory",
        ),
        (
            {0: -11, 1: EXIT_PEER_LOST},
            None,
            3,
            "process 1 of 2 (rank 0) was killed by SIGSEGV, and the oth",
        ),
        ({0: 1, 1: -9}, None, 3, "process 2 of 2 (rank 1) was killed by SIGKILL"),
        ({0: EXIT_PEER_LOST, 1: EXIT_PEER_LOST}, None, 3, None),
        ({0: 143, 1: 143}, 15, 143, None),
        ({0: 130, 1: EXIT_PEER_LOST}, 2, 130, None),
        ({0: -15, 1: -15}, 15, 143, None),
        ({0: 0, 1: 0}, 15, 0, None),
        ({0: EXIT_PEER_LOST, 1: -9}, 15, 3, "process 2 of 2 (rank 1) was killed by SIGKILL"),
    ],
)
def test_the_cause_decides_about_message_and_exit_code(
    tmp_path: Path, codes: dict[int, int], signal_number: int | None, code: int, message: str | None
) -> None:
    group = ended(tmp_path, codes, signal_number=signal_number)
    assert group.exit_code() == code
    assert str(group.failure_message()).startswith(str(message))


def test_a_worker_gets_its_rank_and_the_rendezvous_file(
    workers: Callable[..., int], tmp_path: Path
) -> None:
    report_rank = (
        f"from pathlib import Path; import sys; e = os.environ; Path({str(tmp_path)!r}, e['RANK'])"
        ".write_text(' '.join([e['RANK'], e['LOCAL_RANK'], e['WORLD_SIZE'], "
        "e['LOCAL_WORLD_SIZE'], *sys.argv[2:], e['UPBRING_RENDEZVOUS']]))"
    )
    assert workers(report_rank, report_rank) == 0
    reports = [(tmp_path / str(rank)).read_text().split() for rank in range(2)]
    assert [words[:5] for words in reports] == [
        ["0", "0", "2", "2", "sft"],
        ["1", "1", "2", "2", "sft"],
    ]
    assert reports[0][5] == reports[1][5]
    assert not Path(reports[0][5]).parent.exists()  # the private folder is deleted with the job


def test_a_worker_that_hangs_is_killed_when_another_one_fails(
    workers: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    assert workers(HANG, "import sys; print('out of luck', file=sys.stderr); sys.exit(5)") == 5
    assert capfd.readouterr().err == (
        "process 2 of 2 (rank 1) ended with exit code 5:\nout of luck\n"
    )


def test_a_killed_worker_ends_the_job(
    workers: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    assert workers(HANG, "import signal; os.kill(os.getpid(), signal.SIGKILL)") == 3
    assert capfd.readouterr().err == (
        "process 2 of 2 (rank 1) was killed by SIGKILL (out of memory?), and the others were "
        "stopped; saved checkpoints are intact, resume with `upbring resume`\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows forwards signals itself")
def test_a_signal_reaches_every_worker_once(workers: Callable[..., int], tmp_path: Path) -> None:
    listen = (
        "import signal, sys, threading; from pathlib import Path\n"
        f"received = Path({str(tmp_path)!r}, os.environ['RANK'])\n"
        "def record(number, frame):\n"
        "    old = received.read_text() if received.exists() else ''\n"
        "    received.write_text(old + f'{number} ')\n"
        "    threading.Timer(0.3, os._exit, [143]).start()\n"
        "signal.signal(signal.SIGTERM, record)\n"
        "Path(str(received) + '-ready').touch()\n"
        "while True: signal.pause()\n"
    )

    def ask() -> None:
        while not all((tmp_path / f"{rank}-ready").exists() for rank in range(2)):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    assert workers(listen, listen) == 143
    asking.join()
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["15 ", "15 "]


def test_one_process_or_a_worker_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launcher.should_launch(2)
    assert not launcher.should_launch(1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launcher.should_launch(2)


@pytest.mark.skipif(os.name == "nt", reason="a process cannot signal itself like this on Windows")
def test_a_worker_exits_when_the_launcher_is_gone() -> None:
    program = (
        "import signal, sys, threading\n"
        "from upbring.train.launcher import exit_with_launcher\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "exit_with_launcher()\n"
        "print('here', flush=True)\n"
        "threading.Event().wait(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdin is not None
        assert worker.stdout.readline() == b"here\n"
        worker.stdin.close()
        assert worker.wait(30) == 143


class Job:
    """`upbring` in a process of its own, whose workers can be killed."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.run = folder / "runs" / "sft-1"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "upbring", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "UPBRING_CACHE": str(folder / "cache")},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    def reach(self, step: int) -> None:
        """Wait until the run has taken `step` steps and both workers are running."""
        metrics, mark = self.run / "metrics.jsonl", f'"step": {step}, "kind": "train"'
        while not (len(self.workers) > 1 and metrics.exists() and mark in metrics.read_text()):
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.02)

    @property
    def workers(self) -> list[int]:
        """The pids of the workers, by rank."""
        pid = self.process.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def listening(self) -> set[str]:
        """Return the addresses at which the job's processes listen, in the system's notation."""
        sockets = {
            str(each.readlink())
            for pid in (self.process.pid, *self.workers)
            for each in Path(f"/proc/{pid}/fd").iterdir()
            if each.is_symlink()
        }
        lines = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        ]
        own = [line for line in lines if f"socket:[{line[9]}]" in sockets]
        return {line[1].partition(":")[0] for line in own if line[3] == LISTENING}

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and stderr."""
        _, output = self.process.communicate(timeout=60)
        return self.process.returncode, output


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_a_killed_rank_ends_the_job_and_the_resumed_run_has_the_same_bits(
    tmp_path: Path, figure: Figure
) -> None:
    prepare(tmp_path)
    words = ("sft", "d.jsonl", "--model", "m", *QUICK, *LONGER)
    count = trials(1, 20)
    slowest = 0.0
    addresses: set[str] = set()
    job = Job(tmp_path, *words, "--processes", "2")
    for trial in range(count):
        job.reach(trial + 2)
        addresses |= job.listening()  # may stop listening once connected
        rank = (trial + 1) % 2
        began = time.monotonic()
        os.kill(job.workers[rank], signal.SIGKILL)
        code, output = job.end()
        slowest = max(slowest, time.monotonic() - began)
        assert code == 3, output
        assert re.search(rf"process {rank + 1} of 2 \(rank {rank}\) was killed by SIGKILL", output)
        assert "Traceback" not in output
        assert "defect" not in output
        job = Job(tmp_path, "resume")
    code, output = job.end()
    assert code == 0, output
    assert slowest < 60
    assert addresses == {LOOPBACK}
    done(tmp_path, *words, "--name", "alone")
    alone, together = curve(tmp_path / "runs" / "alone"), curve(job.run)
    assert [line["step"] for line in together] == [line["step"] for line in alone]
    for line, other in zip(alone, together, strict=True):
        key: Any = "loss" if line["kind"] == "train" else "nll"
        assert other[key] == pytest.approx(line[key], abs=1e-5)
    figure("ranks killed, each named", f"{count} of {count}, the job ended in {slowest:.1f} s")
