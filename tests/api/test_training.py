"""Training from Python gives the bytes of the command line, also when it is stopped and resumed."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import upbring as ub
from tests import commands, preferences, small
from tests.api.quick import QUICK, demonstrations, json_lines
from tests.commands import curve, hashes
from upbring.data.trees.batch import Batch
from upbring.interruption import ForcedStop
from upbring.stages.builtin_methods import BUILTIN_METHODS
from upbring.train.loop import Trainer

ROOT = Path(__file__).parents[2]

# The other settings of a quick run of each method, and its rows.
SHORT: dict[str, Any] = {"steps": 2, "batch_size": 4, "dtype": "float32", "threads": 1}
SAMPLED: dict[str, Any] = {"sample_tokens": 4}
ON_POLICY = {
    "max_response_length": 4,
    "eval_prompts": 2,
    "reward_function": "one_sentence",
    **SAMPLED,
}

# A process that is killed in a step: the kernel ends it, so that nothing of Python runs any more.
KILLED = """
import os, signal
import upbring as ub
from tests.api.quick import QUICK, demonstrations
from upbring.train.loop import Trainer

take = Trainer._train_step

def killing(self, batches):
    if self.step == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return take(self, batches)

Trainer._train_step = killing
ub.sft("m", demonstrations(), **QUICK)
"""


def weights(folder: Path) -> dict[str, str]:
    """Return the hashes of the weights in a model folder."""
    return {name: value for name, value in hashes(folder).items() if ".safetensors" in name}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of the command line on a file of the same rows."""
    home = tmp_path_factory.mktemp("reference")
    small.make_model(home / "m")
    (home / "d.jsonl").write_text(json_lines(demonstrations()), encoding="utf-8")
    commands.done(home, *commands.SFT)
    return home / "runs" / "sft-1"


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Return what makes something happen within a step, once."""

    def arrange(step: int, happening: Callable[[], object]) -> None:
        take = Trainer._train_step

        def taking(self: Trainer, batches: Sequence[Batch]) -> Any:
            if self.step == step:
                monkeypatch.setattr(Trainer, "_train_step", take)
                happening()
            return take(self, batches)

        monkeypatch.setattr(Trainer, "_train_step", taking)

    return arrange


AtStep = Callable[[int, Callable[[], object]], None]


def test_rows_in_memory_give_the_bytes_of_the_command_line(home: Path, reference: Path) -> None:
    run = ub.sft("m", demonstrations(), **QUICK)
    assert weights(run.model_path) == weights(reference / "model")
    assert curve(run.path) == curve(reference)
    assert run.path == home / "runs" / "sft-1"
    assert (str(run), run.method, run.status) == ("runs/sft-1", "sft", "finished")


def method_rows(name: str, folder: Path) -> tuple[list[dict[str, object]], dict[str, Any]]:
    """Return rows for a method, and further settings."""
    path = folder / "rows.jsonl"
    learns_from = next(each.learns_from for each in BUILTIN_METHODS if each.name == name)
    settings: dict[str, Any] = SAMPLED
    if learns_from == "documents":
        small.make_documents(path, 12)
    elif learns_from == "comparisons":
        preferences.make_pairs(path, 12)
        settings = {} if name == "reward" else SAMPLED
    elif learns_from == "labels":
        preferences.make_labels(path, 12)
    else:
        small.make_demonstrations(path, 12)
        settings = ON_POLICY if learns_from == "prompts" else SAMPLED
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(json_lines(rows))
    return rows, settings


@pytest.mark.parametrize("name", [each.name for each in BUILTIN_METHODS])
def test_every_method_gives_the_bytes_of_its_command(name: str, home: Path) -> None:
    rows, more = method_rows(name, home)
    settings = {**SHORT, **more}
    if name == "ppo":
        ub.reward_model("m", preference_rows(home), name="judge", **SHORT)
        settings |= {"reward_model": "runs/judge", "reward_function": ()}
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items() if value]
    commands.done(home, name, "rows.jsonl", "--model", "m", "--name", "typed", *flags)
    run = ub.train(name, "m", rows, name="called", **settings)
    assert weights(run.model_path) == weights(home / "runs" / "typed" / "model")
    assert curve(run.path) == curve(home / "runs" / "typed")


def preference_rows(home: Path) -> list[dict[str, object]]:
    lines = preferences.make_pairs(home / "p.jsonl", 12).read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.usefixtures("home")
def test_an_interrupt_saves_and_the_resumed_run_has_the_same_bytes(
    reference: Path, at_step: AtStep
) -> None:
    at_step(3, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(ub.Interrupted) as caught:
        ub.sft("m", demonstrations(), **QUICK)
    assert str(caught.value) == (
        'stopped after step 4 of 6, saved; resume with `upbring.resume("runs/sft-1")`'
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert ub.Run("runs/sft-1").status == "interrupted"
    assert weights(ub.resume("sft-1").model_path) == weights(reference / "model")
    with pytest.raises(ub.InputError, match=r"^runs/sft-1: is finished; its model is in"):
        ub.resume("runs/sft-1")
    with pytest.raises(ub.ResumeError, match="there is nothing to resume"):
        ub.resume()


@pytest.mark.usefixtures("home")
def test_a_second_interrupt_stops_at_once(at_step: AtStep) -> None:
    def press_twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_step(3, press_twice)
    with pytest.raises(ForcedStop, match=r"`upbring\.resume` continues from the last checkpoint"):
        ub.sft("m", demonstrations(), **QUICK)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_killed_run_is_resumed_from_another_folder_to_the_same_bytes(
    home: Path,
    reference: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(step=4)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    run = ub.resume(home / "runs" / "sft-1")
    assert weights(run.model_path) == weights(reference / "model")
    assert Path.cwd() == elsewhere
    assert list(elsewhere.iterdir()) == []


REWARDS = """
def correct(prompt, response, row):
    return len(response) % 7 + row["answer"]
"""


def correct(prompt: str, response: str, row: dict[str, Any]) -> float:
    assert prompt == f"What is {row['answer']}?"
    return float(len(response) % 7 + row["answer"])


PROMPTS: list[dict[str, object]] = [{"prompt": f"What is {i}?", "answer": i} for i in range(8)]
GRPO: dict[str, Any] = {**SHORT, "max_response_length": 4, "eval_prompts": 2, "steps": 4}


class Recorder(ub.Callback):
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.ends: list[str] = []

    def on_metrics(self, step: int, metrics: Mapping[str, float], kind: str) -> None:
        if kind == "train":
            assert "loss" in metrics
            self.steps.append(step)

    def on_end(self, status: str) -> None:
        self.ends.append(status)


def test_a_reward_function_sees_the_row_and_gives_the_bytes_of_the_command_line(
    home: Path, at_step: AtStep
) -> None:
    (home / "rewards.py").write_text(REWARDS)
    (home / "p.jsonl").write_text(json_lines(PROMPTS))
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in GRPO.items()]
    words = ("p.jsonl", "--model", "m", "--reward-function", "rewards.py:correct")
    commands.done(home, "grpo", *words, *flags)
    typed = weights(home / "runs" / "grpo-1" / "model")
    recorder = Recorder()
    called = ub.grpo("m", PROMPTS, reward=correct, callbacks=[recorder], **GRPO)
    named = ub.grpo("m", PROMPTS, reward="rewards.py:correct", **GRPO)
    assert weights(called.model_path) == weights(named.model_path) == typed
    assert (recorder.steps, recorder.ends) == ([1, 2, 3, 4], ["finished"])
    at_step(2, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(ub.Interrupted):
        ub.grpo("m", PROMPTS, reward=[(correct, 1.0)], callbacks=[recorder], **GRPO)
    resumed = ub.resume(reward=correct, callbacks=[recorder])
    assert weights(resumed.model_path) == typed
    assert recorder.ends == ["finished", "interrupted", "finished"]
    assert recorder.steps == [1, 2, 3, 4] * 2
    for row in resumed.metrics():
        if row["kind"] == "train":
            penalty = 1 - row["ended"]  # of responses without a stop token
            assert row["rewards/correct/mean"] == pytest.approx(row["reward"] + penalty)
            assert row["rewards/correct/std"] >= 0


@pytest.mark.usefixtures("home")
def test_what_is_no_reward_is_told() -> None:
    with pytest.raises(ub.InputError, match=r"^reward: sft samples no responses; use a method"):
        ub.train("sft", "m", demonstrations(), reward=correct)
    with pytest.raises(ub.InputError, match=r"^callbacks: is not a list; give a list"):
        ub.sft("m", demonstrations(), callbacks=Recorder())  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ub.InputError, match="corect"):
        ub.grpo("m", PROMPTS, reward="corect")


@pytest.mark.usefixtures("home")
def test_a_call_leaves_the_process_as_it_was() -> None:
    before = threading.enumerate(), signal.getsignal(signal.SIGTERM), dict(os.environ)
    ub.sft("m", demonstrations(), **QUICK)
    assert (threading.enumerate(), signal.getsignal(signal.SIGTERM), dict(os.environ)) == before


@pytest.mark.usefixtures("home")
def test_a_call_in_another_thread_trains_too(reference: Path) -> None:
    runs: list[ub.Run] = []
    thread = threading.Thread(target=lambda: runs.append(ub.sft("m", demonstrations(), **QUICK)))
    thread.start()
    thread.join()
    assert weights(runs[0].model_path) == weights(reference / "model")


@pytest.mark.usefixtures("home")
def test_an_error_has_no_frames_of_the_library_and_names_the_argument() -> None:
    with pytest.raises(ub.InputError) as caught:
        ub.sft("m", [{"prompt": "Only a prompt"}], steps=1)
    message = str(caught.value)
    assert message.startswith("runs/.rows/")
    assert "--" not in message
    files = [entry.path for entry in caught.traceback]
    assert not [file for file in files if "stages" in str(file)]
    with pytest.raises(ub.InputError, match=r"^method 'stf': not found; did you mean sft\?"):
        ub.train("stf", "m", demonstrations())
