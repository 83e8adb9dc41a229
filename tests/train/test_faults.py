"""System faults during a run: real ones where the system allows it."""

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.commands import QUICK, curve, done, hashes, prepare, upbring
from tests.conftest import Figure, trials
from tests.train import small_disk
from tests.train import test_loop as loop
from upbring import durable
from upbring.algorithms.pretrain import Pretrain
from upbring.data.trees.batch import Batch
from upbring.stages import dataset, train_or_resume
from upbring.train import checkpoint

ROOT = Path(__file__).parents[2]
SFT = ("sft", "d.jsonl", "--model", "m", *QUICK)
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount() -> bool:
    """Whether this user can mount in a namespace of their own."""
    if shutil.which("unshare") is None:
        return False
    probe = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "probe", "/tmp"]  # noqa: S108 -- in its own namespace
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def test_a_disk_that_is_really_full_or_read_only_is_reported_and_nothing_is_lost(
    tmp_path: Path, figure: Figure
) -> None:
    if not may_mount():
        pytest.skip("this user may not mount a small tmpfs, even in a namespace of their own")
    result = subprocess.run(
        [*OWN_MOUNTS, sys.executable, str(Path(small_disk.__file__)), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    where = f"{tmp_path}/checkpoints"
    assert re.fullmatch(
        rf"{where}/step-3: saving needs 48\d\.\d kB, but only \d+\.\d kB is free; free some "
        "space or fix the disk, then run the same command again. Nothing saved earlier is lost",
        found["reported before writing"]["message"],
    )
    assert re.fullmatch(
        rf"{where}/step-3: No space left on device \(48\d\.\d kB needed, .* free\); free some "
        "space or fix the disk, then run the same command again. Nothing saved earlier is lost",
        found["reported by the disk"]["message"],
    )
    assert f"{tmp_path}/metrics.jsonl: No space left on device" in found["metrics"]["message"]
    assert found["read-only"]["message"].startswith(f"{where}/step-4: Read-only file system; get ")
    saves = {name: each for name, each in found.items() if name != "metrics"}
    codes = {name: each["code"] for name, each in saves.items() if each["code"]}
    assert codes == {"reported before writing": 3, "reported by the disk": 3, "read-only": 2}
    assert all(each["is_whole"] and not each["left"] for each in saves.values())
    assert all(each["seconds"] < 5 for each in saves.values())
    assert [each["newest"] for each in saves.values()] == [1, 2, 2, 2, 3, 3]
    figure("saves on a real small disk, full and read-only", f"{len(codes)}, older steps intact")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was not interrupted."""
    folder = prepare(tmp_path_factory.mktemp("whole"))
    done(folder, *SFT)
    return folder / "runs" / "sft-1"


PHASES: dict[str, tuple[Any, str]] = {
    "load": (train_or_resume, "load"),
    "tokenise": (dataset, "build_store"),
    "evaluate": (Pretrain, "held_out_loss"),
    "observe": (Pretrain, "evaluate"),
    "train": (Pretrain, "loss"),
    "save": (checkpoint, "save"),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("phase", "call"),
    [
        *(("load", 1), ("tokenise", 1), ("evaluate", 1), ("evaluate", 2), ("observe", 2)),
        *(("train", 5), ("save", 1), ("save", 2)),
    ],
)
def test_a_signal_in_any_phase_saves_and_the_resumed_run_has_the_same_bits(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    call: int,
    number: signal.Signals,
) -> None:
    if number == signal.SIGINT and not trials(0, 1):
        pytest.skip("nightly: Ctrl-C takes the same path as SIGTERM")
    place, name = PHASES[phase]
    real, calls = getattr(place, name), iter(range(1, 10**6))

    def signalled(*given: Any, **named: Any) -> Any:
        if next(calls) == call:
            signal.raise_signal(number)
        return real(*given, **named)

    prepare(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, signalled)
        answer = upbring(tmp_path, *SFT)
    assert answer.code == 128 + number
    last = answer.err.splitlines()[-1]
    run = tmp_path / "runs" / "sft-1"
    if phase in {"load", "tokenise"}:
        assert last == "stopped before the first step; nothing was written"
        assert not run.exists()
        return
    assert re.fullmatch(
        r"stopped after step \d of 6, saved; resume with `upbring resume runs/sft-1`", last
    )
    done(tmp_path, "resume")  # needs no path
    assert curve(run) == curve(whole)
    assert hashes(run / "checkpoints" / "step-6") == hashes(whole / "checkpoints" / "step-6")


class Endless:
    """An algorithm that repeats the same few steps, so that memory can be watched."""

    def __init__(self, sound: Pretrain, watch: Callable[[int], None]) -> None:
        self.sound, self.watch = sound, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        for step, batches in enumerate(self.sound.batches(start), start):
            self.watch(step)
            yield batches


def test_neither_memory_nor_descriptors_grow_with_the_steps(tmp_path: Path, figure: Figure) -> None:
    steps = trials(150, 10_000)
    warm = steps // 3
    seen: list[tuple[int, int]] = []

    def watch(step: int) -> None:
        if step >= warm and step % (steps // 30) == 0:
            gc.collect()
            held = durable.process_memory_bytes()
            if held is None:
                pytest.skip("this system does not report the memory of a process")
            seen.append((held, len(list(Path("/proc/self/fd").iterdir()))))

    every = {"eval_steps": steps // 10, "save_steps": steps // 10, "learning_rate": 0.005}
    growing = loop.training(loop.SETTINGS.model_copy(update={**every, "batch_size": 1}))
    growing.algorithm.steps = steps
    growing.algorithm = Endless(growing.algorithm, watch)  # type: ignore[assignment]
    with loop.open_run_log(tmp_path / "run") as run_log:
        growing.train(run_log)
    memory, descriptors = [held for held, _ in seen], [count for _, count in seen]
    half = len(memory) // 2
    growth = sum(memory[half:]) / len(memory[half:]) / (sum(memory[:half]) / half) - 1
    assert abs(growth) < 0.02
    assert len(set(descriptors)) == 1
    figure("growth of memory over the steps", f"{growth:.2%} over {steps - warm}, no descriptor")
