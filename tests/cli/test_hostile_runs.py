"""Run folders from elsewhere, damaged records, and hangups."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import QUICK, SFT, done, prepare, upbring
from upbring import durable
from upbring.train.loop import Trainer


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run that was stopped after step 4."""
    folder = prepare(tmp_path_factory.mktemp("home"))
    take = Trainer._train_step

    def taking(self: Trainer, batches: object) -> object:
        if self.step == 4:
            signal.raise_signal(signal.SIGTERM)
        return take(self, batches)  # type: ignore[arg-type]  # as it came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_step", taking)
        assert upbring(folder, *SFT).code == 143
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder."""
    subprocess.run(["cp", "-r", f"{stopped}/.", str(tmp_path)], check=True)
    return tmp_path


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "samples.jsonl"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_links_and_pipes_in_a_run_folder_are_not_followed(
    folder: Path, name: str, kind: str
) -> None:
    victim = folder / "victim"
    victim.write_text("mine\nnot ended")
    path = folder / "runs" / "sft-1" / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim if kind == "link" else folder / "created")
    answer = upbring(folder, "resume", "runs/sft-1")
    assert answer.code == 2
    assert f"{name}: is " in answer.err
    assert victim.read_text() == "mine\nnot ended"
    assert not (folder / "created").exists()


def test_linked_checkpoints_are_not_deleted(folder: Path) -> None:
    checkpoints = folder / "runs" / "sft-1" / "checkpoints"
    checkpoints.rename(folder / "elsewhere")
    checkpoints.symlink_to(folder / "elsewhere")
    answer = upbring(folder, "resume", "runs/sft-1")
    assert answer.code == 2
    assert "checkpoints: is a symbolic link" in answer.err


@pytest.mark.parametrize("damage", ["deleted", "cut", "changed"])
def test_damaged_metrics_are_noticed_and_the_run_goes_on(folder: Path, damage: str) -> None:
    path = folder / "runs" / "sft-1" / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    if damage == "deleted":
        path.unlink()
    elif damage == "cut":
        path.write_text("".join(lines[:2]))
    else:
        path.write_text("".join(lines).replace('"loss": ', '"loss": 1', 1))
    answer = done(folder, "resume", "runs/sft-1")
    assert "metrics.jsonl: lines were changed or lost since the checkpoint was saved" in answer.err
    assert "the weights are not affected" in answer.err


def test_intact_metrics_are_not_complained_about(folder: Path) -> None:
    assert "changed or lost" not in done(folder, "resume", "runs/sft-1").err


def test_another_configuration_of_the_base_is_refused(folder: Path) -> None:
    path = folder / "m" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "rms_norm_eps": 0.01}))
    answer = upbring(folder, "resume", "runs/sft-1")
    assert answer.code == 4
    assert "\n  base: the checkpoint has" in answer.err
    path.write_text(json.dumps({**config, "transformers_version": "0.0"}))
    done(folder, "resume", "runs/sft-1")  # it changes no number


def test_a_damaged_cache_is_made_again(folder: Path) -> None:
    done(folder, "check", "d.jsonl", "--model", "m")
    files = [path for path in (folder / "cache").rglob("*") if path.name == "store.json"]
    assert files
    for path in files:
        path.write_text("{")
    answer = done(folder, *SFT, "--name", "b")
    assert "store.json: has 1 bytes, but had" in answer.err.replace("\n", "")
    assert "making it again" in answer.err
    for path in files:
        path.write_text("{}")
        durable.seal(path.parent, [each.name for each in path.parent.iterdir()])
    done(folder, *SFT, "--name", "c")


def test_a_second_process_of_a_recipe_is_refused(folder: Path) -> None:
    (folder / "recipe.yaml").write_text("model: m\nstages:\n  sft: {data: d.jsonl, steps: 1}\n")
    (folder / "pipeline").mkdir()
    with durable.lock(folder / "pipeline"):
        answer = upbring(folder, "run", "recipe.yaml", "--to", "pipeline")
        assert answer.code == 2
        assert f"process {os.getpid()} on " in answer.err
        assert "is using this folder" in answer.err
        done(folder, "run", "recipe.yaml", "--to", "pipeline", "--dry-run")
    done(folder, "run", "recipe.yaml", "--to", "pipeline")


def test_a_run_whose_terminal_is_closed_is_saved_and_goes_on(folder: Path) -> None:
    """A new session with a terminal of its own; closing the other end is what a window does."""
    process, terminal = pty.fork()
    words = ["sft", "d.jsonl", "--model", "m", *QUICK, "--steps", "20000", "--name", "long"]
    if process == 0:
        os.chdir(folder)
        command = [sys.executable, "-m", "upbring", *words]
        environment = {**os.environ, "UPBRING_CACHE": "cache"}
        os.execve(sys.executable, command, environment)  # noqa: S606 -- after a fork
    checkpoints = folder / "runs" / "long" / "checkpoints"
    deadline = time.monotonic() + 120
    while not any(checkpoints.glob("step-*")) and time.monotonic() < deadline:
        os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    settings = folder / "runs" / "long" / "settings.yaml"
    assert "20000" in settings.read_text()
    metrics = (folder / "runs" / "long" / "metrics.jsonl").read_text().splitlines()
    last = max(int(path.name[5:]) for path in checkpoints.glob("step-*"))
    assert json.loads(metrics[-1])["step"] == last  # what was learned is saved
