"""Whole runs on a tiny model: what a setting changes, and what it must not."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import QUICK, SFT, curve, done, hashes, prepare, upbring
from upbring.errors import FunctionError
from upbring.runs.callback import Callback, RunStart
from upbring.runs.run_folder import Run
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve
from upbring.stages import train_or_resume

PRETRAIN = ("pretrain", "t.jsonl", "--model", "m", *QUICK)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the runs `a` (sft) and `p` (pre-training)."""
    folder = prepare(tmp_path_factory.mktemp("home"))
    done(folder, *SFT, "--name", "a")
    done(folder, *PRETRAIN, "--name", "p")
    return folder


def adapter(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "adapter_model.safetensors")


def difference(one: Path, other: Path) -> float:
    """Return the largest difference of a weight."""
    a, b = adapter(one), adapter(other)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize(("words", "run"), [(SFT, "a"), (PRETRAIN, "p")])
def test_the_same_seed_gives_the_same_bits(home: Path, words: tuple[str, ...], run: str) -> None:
    again = f"{run}-again"
    done(home, *words, "--name", again)
    assert hashes(home / "runs" / run / "model") == hashes(home / "runs" / again / "model")
    assert curve(home / "runs" / run) == curve(home / "runs" / again)


def test_another_seed_gives_others(home: Path) -> None:
    done(home, *SFT, "--name", "other", "--seed", "1")
    assert difference(home / "runs" / "a", home / "runs" / "other") > 1e-3


@pytest.mark.parametrize("more", [("--gradient-checkpointing",), ("--micro-batch-tokens", "40")])
def test_what_only_saves_memory_changes_no_result(home: Path, more: tuple[str, ...]) -> None:
    name = more[0].strip("-")
    done(home, *SFT, "--name", name, *more)
    assert difference(home / "runs" / "a", home / "runs" / name) < 1e-6
    for one, other in zip(curve(home / "runs" / "a"), curve(home / "runs" / name), strict=True):
        assert one.pop("kind") == other.pop("kind")
        assert one == pytest.approx(other, rel=1e-5)


def test_bfloat16_learns_nearly_the_same(home: Path) -> None:
    done(home, *SFT, "--name", "bf", "--dtype", "bfloat16")
    one, other = curve(home / "runs" / "a"), curve(home / "runs" / "bf")
    for a, b in zip(one, other, strict=True):
        name = "loss" if "loss" in a else "nll"
        assert a[name] == pytest.approx(b[name], abs=0.05)


def test_learning_lowers_the_held_out_loss(home: Path) -> None:
    done(home, *SFT, "--name", "long", "--steps", "30", "--eval-steps", "10")
    found = [r["nll"] for r in curve(home / "runs" / "long") if r["kind"] == "held_out"]
    assert isinstance(found[0], float)
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] - 0.05


def test_full_fine_tuning_changes_every_weight(home: Path) -> None:
    output = done(home, *SFT, "--name", "full", "--tune", "full", "--learning-rate", "1e-3").err
    assert "training: all weights, 36,000 parameters (100.00%" in output
    before = load_file(home / "m" / "model.safetensors")
    after = load_file(home / "runs" / "full" / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_a_replayed_file_and_a_held_out_file_are_used_and_written_down(home: Path) -> None:
    other = home / "g.jsonl"
    other.write_text((home / "d.jsonl").read_text().replace("What is", "Tell me"))
    output = done(
        home,
        *SFT,
        "--name",
        "mixed",
        "--mix",
        "g.jsonl=0.2",
        "--held-out",
        "d.jsonl",
        "--epochs",
        "1",
        "--batch-size",
        "5",
    ).err
    assert "40 examples to train on, 40 held out" in output
    run = home / "runs" / "mixed"
    text = (run / "data.json").read_text()
    assert text.count('"train"') == 2
    assert text.count('"held_out"') == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_step_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    prepare(tmp_path)
    load = train_or_resume.load

    def signalled(*given: Any, **named: Any) -> Any:
        signal.raise_signal(number)
        return load(*given, **named)

    monkeypatch.setattr(train_or_resume, "load", signalled)
    answer = upbring(tmp_path, *SFT)
    assert answer.code == code
    assert answer.err.splitlines()[-1] == "stopped before the first step; nothing was written"
    assert not (tmp_path / "runs").exists()


def test_the_last_line_prints_where_the_model_is(home: Path) -> None:
    output = done(home, *SFT, "--name", "end").err
    assert output.splitlines()[-2:] == [
        "runs/end: finished; the model is in runs/end/model",
        "try `upbring chat runs/end`",
    ]


def test_errors_of_tokenizer_and_data_are_reported_before_the_weights_are_read(
    tmp_path: Path,
) -> None:
    prepare(tmp_path)
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(b"damaged")
    rows = tmp_path / "d.jsonl"
    good_rows = rows.read_text()
    rows.write_text("no JSON\n")
    assert upbring(tmp_path, *SFT).err.splitlines()[-1].startswith("d.jsonl")
    rows.write_text(good_rows)
    (tmp_path / "m" / "tokenizer.json").write_text("no JSON")
    assert "tokenizer.json" in upbring(tmp_path, *SFT).err.splitlines()[-1]


class Recorder(Callback):
    """Records the calls; fails at a step, once."""

    def __init__(self, failing_step: int = 0) -> None:
        self.failing_step = failing_step
        self.steps: list[int] = []
        self.calls: list[str] = []

    def on_start(self, run: RunStart) -> None:
        self.calls.append(f"start {run.step}/{run.steps}")

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: str) -> None:
        assert metrics
        if kind == "train":
            self.steps.append(step)
        if step == self.failing_step and kind == "train":
            raise RuntimeError("disk of the tracker is full")

    def on_samples(self, step: int, samples: Sequence[Mapping[str, object]]) -> None:
        self.calls.append(f"{len(samples)} samples at {step}")

    def on_end(self, status: str) -> None:
        self.calls.append(status)


@pytest.mark.parametrize("failing_step", [2, 3])  # step 3 has an evaluation too
def test_a_failing_callback_stops_a_run_that_resumes_to_the_same_bytes(
    home: Path, monkeypatch: pytest.MonkeyPatch, failing_step: int
) -> None:
    monkeypatch.chdir(home)
    flags = {flag.removeprefix("--").replace("-", "_"): value for flag, value in _pairs(QUICK)}
    name = f"fails-{failing_step}"
    resolved = resolve(
        SftSettings,
        section="sft",
        file=None,
        flags={**flags, "model": "m", "data": ["d.jsonl"], "name": name},
    )
    recorder = Recorder(failing_step)
    with pytest.raises(FunctionError) as caught:
        train_or_resume.train("sft", resolved, callbacks=[recorder])
    message = " ".join(str(caught.value).split())
    assert "Recorder.on_metrics: raised RuntimeError: disk of the tracker is full at " in message
    assert f"stopped after step {failing_step} of 6, saved; resume with `upbring" in message
    run = Run.open(home / "runs" / name)
    again = Recorder()
    train_or_resume.resume_training(run, callbacks=[again])
    assert recorder.calls[0] == "start 0/6"
    assert (recorder.calls[-1], again.calls[-1]) == ("failed", "finished")
    assert again.calls[0] == f"start {failing_step}/6"
    assert recorder.steps + again.steps == [1, 2, 3, 4, 5, 6]
    assert hashes(home / "runs/a/model") == hashes(run.path / "model")
    assert curve(home / "runs/a") == curve(run.path)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(words[::2], words[1::2], strict=True)


SCRIPT = """
import signal
from upbring.settings.methods.grpo import GrpoSettings
from upbring.settings.resolve import resolve
from upbring.stages.train_or_resume import train

count = 0

def brief(response):
    global count
    count += 1
    if count == 8:
        signal.raise_signal(signal.SIGINT)
    return -float(len(response))

flags = {"prompts": ["d.jsonl"], "model": "m", "steps": "6", "batch_size": "2", "name": "python",
         "max_response_length": "4", "dtype": "float32", "threads": "1", "save_steps": "1"}
train("grpo", resolve(GrpoSettings, section="grpo", file=None, flags=flags), rewards=[brief])
"""


def test_a_script_stopped_by_ctrl_c_has_no_traceback_and_its_function_is_named(home: Path) -> None:
    stopped = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=home, capture_output=True, text=True, check=False
    )
    assert stopped.returncode == 130, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "; resume with `upbring resume runs/python`" in stopped.stderr
    answer = upbring(home, "resume", "runs/python")
    assert answer.code == 2
    assert "runs/python: its reward is the Python function brief; resume it in Python" in answer.err
    assert "reward_model: none is given" not in answer.err
