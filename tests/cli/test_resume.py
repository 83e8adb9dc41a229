"""Stopped in any way and resumed: the same bits, or a clear error."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from tests.commands import QUICK, SFT, curve, done, hashes, prepare, upbring
from tests.conftest import Figure, trials
from tests.preferences import make_rankings
from tests.rewarded import make_reward
from tests.small import make_demonstrations, make_model
from upbring.data.trees.batch import Batch
from upbring.runs.run_folder import Run
from upbring.train.loop import Trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was never stopped."""
    folder = prepare(tmp_path_factory.mktemp("whole"))
    done(folder, *SFT)
    return folder / "runs" / "sft-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Return a function that runs an action within a step, once."""

    def arrange(step: int, happening: Callable[[], object]) -> None:
        take = Trainer._train_step

        def taking(self: Trainer, batches: Sequence[Batch]) -> dict[str, float]:
            if self.step == step:
                monkeypatch.setattr(Trainer, "_train_step", take)
                happening()
            return take(self, batches)

        monkeypatch.setattr(Trainer, "_train_step", taking)

    return arrange


AtStep = Callable[[int, Callable[[], object]], None]


def stop(number: signal.Signals, *, times: int = 1) -> Callable[[], None]:
    """Return a function that sends this process a signal, `times` times."""

    def send() -> None:
        for _ in range(times):
            signal.raise_signal(number)

    return send


def stopped(folder: Path, at_step: AtStep, *, step: int = 4) -> Path:
    """Start a run, stop it in the step after `step`, and return its path."""
    at_step(step, stop(signal.SIGTERM))
    assert upbring(folder, *SFT).code == 143
    return folder / "runs" / "sft-1"


def assert_same(one: Path, other: Path) -> None:
    models = [hashes(run / "model") for run in (one, other)]
    for files in models:  # these two contain the path of the base
        del files["adapter_config.json"], files["manifest.json"]
    assert models[0] == models[1]
    assert hashes(one / "checkpoints" / "step-6") == hashes(other / "checkpoints" / "step-6")
    assert curve(one) == curve(other)
    for name in ("samples.jsonl", "README.md", "settings.yaml", "data.json", "contract.json"):
        assert (one / name).read_text() == (other / name).read_text()


KILLED = {
    "sft": "d.jsonl --steps 30 --batch-size 4 --eval-steps 7 --sample-tokens 8",
    "reward": "r.jsonl --steps 12 --batch-size 4 --eval-steps 5 --dtype float32",
    "dpo": "r.jsonl --steps 12 --batch-size 4 --eval-steps 5 --sample-tokens 4"
    " --mix d.jsonl=0.2 --dtype float32",
    "ppo": "d.jsonl --steps 8 --batch-size 3 --eval-steps 5 --update-epochs 2 --num-mini-batches 2"
    " --reward-model r --judge r --max-response-length 6 --eval-prompts 2 --sample-tokens 4"
    " --mix d.jsonl=0.25 --kl-target 0.1 --kl-horizon 30 --ema-decay 0.5"
    " --normalize-rewards scale --dtype float32",
}
ALWAYS = "--model m --rank 4 --save-steps 3 --held-out-share 0.1 --learning-rate 0.01 --threads 1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("method", "few", "many", "kills"),
    [("sft", 5, 50, 2), ("reward", 2, 50, 1), ("dpo", 2, 50, 1), ("ppo", 5, 200, 1)],
)
def test_a_run_killed_at_random_moments_and_resumed_gives_the_same_bits(
    tmp_path: Path, figure: Figure, method: str, few: int, many: int, kills: int
) -> None:
    program = Path(__file__).with_name("killed_runs.py")
    make_rankings(prepare(tmp_path) / "r.jsonl")
    make_reward(tmp_path / "m", tmp_path / "r")
    count = trials(few, many)
    words = f"{count} {kills} {method} {KILLED[method]} {ALWAYS}".split()
    result = subprocess.run(
        [sys.executable, program, tmp_path, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(program.parents[2]), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert [trial["differs"] for trial in found] == [[]] * count
    hits = Counter(phase for trial in found for phase in trial["kills"])
    assert all(trial["codes"][-1] == 0 for trial in found)
    codes = {code for trial in found for code in trial["codes"]}
    assert codes <= {0, -signal.SIGUSR1}, "what was not killed ended well"
    assert not any("Traceback" in trial["log"] for trial in found)
    more = ("generation", "scoring") if method == "ppo" else ()
    assert count < many or hits.keys() >= {"update", "saving", "evaluation", *more}
    where = ", ".join(f"{number} in {phase}" for phase, number in sorted(hits.items()))
    figure(
        f"{method}: runs killed and resumed, equal bit for bit",
        f"{count} of {count}, {hits.total()} kills: {where}",
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_saves_and_prints_the_resume_command_and_changes_no_result(
    whole: Path, folder: Path, at_step: AtStep, number: signal.Signals, code: int
) -> None:
    at_step(4, stop(number))
    answer = upbring(folder, *SFT)
    run = folder / "runs" / "sft-1"
    assert answer.code == code
    assert answer.err.splitlines()[-1] == (
        "stopped after step 5 of 6, saved; resume with `upbring resume runs/sft-1`"
    )
    assert Run(run).status() == "interrupted"
    again = done(folder, "resume", "runs/sft-1")
    assert "resuming after step 5\n" in again.err
    assert_same(whole, run)


def test_a_second_signal_stops_at_once_and_the_last_checkpoint_is_left(
    whole: Path, folder: Path, at_step: AtStep
) -> None:
    at_step(4, stop(signal.SIGTERM, times=2))
    answer = upbring(folder, *SFT)
    assert answer.code == 143
    assert answer.err.splitlines()[-1] == (
        "stopped immediately; `upbring resume` continues from the last checkpoint"
    )
    run = folder / "runs" / "sft-1"
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["step-3", "step-4"]
    done(folder, "resume")  # without a path: the newest unfinished run
    assert_same(whole, run)


def test_a_run_stopped_before_its_first_checkpoint_starts_over(
    whole: Path, folder: Path, at_step: AtStep
) -> None:
    at_step(1, stop(signal.SIGINT, times=2))
    assert upbring(folder, *SFT).code == 130
    shutil.rmtree(folder / "runs" / "sft-1" / "checkpoints")  # as if it had died before the first
    again = done(folder, "resume", "sft-1")  # by its name alone
    assert "no checkpoint was saved yet: starting at the first step\n" in again.err
    assert_same(whole, folder / "runs" / "sft-1")


def test_a_run_killed_before_its_records_were_written_gets_them_on_resume(
    whole: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_data", dying)
        assert upbring(folder, *SFT).code == 130
    done(folder, "resume")
    assert_same(whole, folder / "runs" / "sft-1")


def edit_data(folder: Path) -> None:
    make_demonstrations(folder / "d.jsonl", 41)


def edit_settings(folder: Path) -> None:
    file = folder / "runs" / "sft-1" / "settings.yaml"
    file.write_text(file.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))


def change_model(folder: Path) -> None:
    make_model(folder / "m", seed=1)


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        (edit_data, "data", "data: the checkpoint has ['train "),
        (
            edit_settings,
            "learning_rate",
            "settings.learning_rate: the checkpoint has 0.01, this run has 0.02",
        ),
    ],
)
def test_what_was_changed_is_named_and_may_be_allowed(
    folder: Path, at_step: AtStep, change: Callable[[Path], None], key: str, message: str
) -> None:
    stopped(folder, at_step)
    change(folder)
    answer = upbring(folder, "resume")
    assert answer.code == 4
    assert "was saved by a run that differs in 1 respect:" in answer.err
    assert f"\n  {message}" in answer.err
    assert "allow each with --allow-change KEY" in answer.err
    assert "finished" in done(folder, "resume", "--allow-change", key).err


def test_another_base_is_refused(folder: Path, at_step: AtStep) -> None:
    stopped(folder, at_step)
    change_model(folder)
    answer = upbring(folder, "resume")
    assert answer.code == 4
    assert "\n  model: the checkpoint has" in answer.err


def test_another_adapter_below_is_refused(folder: Path, at_step: AtStep) -> None:
    done(folder, *SFT, "--name", "below")
    at_step(4, stop(signal.SIGTERM))
    assert upbring(folder, "sft", "d.jsonl", "--model", "runs/below", *QUICK).code == 143
    done(folder, *SFT, "--name", "other", "--seed", "1")
    shutil.rmtree(folder / "runs" / "below" / "model")
    shutil.copytree(folder / "runs" / "other" / "model", folder / "runs" / "below" / "model")
    answer = upbring(folder, "resume")
    assert answer.code == 4
    assert "differs in 1 respect:" in answer.err
    assert "\n  model: the checkpoint has" in answer.err


def test_an_edited_template_file_is_refused(folder: Path, at_step: AtStep) -> None:
    template = folder / "t.jinja"
    text = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    template.write_text(text + "{% if add_generation_prompt %}<assistant>{% endif %}")
    at_step(4, stop(signal.SIGTERM))
    assert upbring(folder, *SFT, "--chat-template", "t.jinja").code == 143
    template.write_text(text + "\n{% if add_generation_prompt %}<assistant>{% endif %}")
    answer = upbring(folder, "resume")
    assert answer.code == 4
    assert "\n  template: the checkpoint has" in answer.err


def test_another_number_of_threads_gives_a_warning_and_resumes(
    folder: Path, at_step: AtStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stopped(folder, at_step)
    monkeypatch.setattr(
        torch, "set_num_threads", lambda _: None
    )  # two threads would spin if other programs run
    settings = run / "settings.yaml"
    settings.write_text(settings.read_text().replace("threads: 1", "threads: 2"))
    again = done(folder, "resume")
    assert "machine.threads: the checkpoint has 1, this run has 2; continuing" in again.err


def test_a_damaged_checkpoint_is_skipped_with_its_reason(
    whole: Path, folder: Path, at_step: AtStep
) -> None:
    run = stopped(folder, at_step)
    file = run / "checkpoints" / "step-5" / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    again = done(folder, "resume")
    assert "tensors.safetensors" in again.err
    assert "; trying the previous checkpoint\nresuming after step 4\n" in again.err
    assert_same(whole, run)


def test_without_a_valid_checkpoint_it_never_starts_over_silently(
    folder: Path, at_step: AtStep
) -> None:
    run = stopped(folder, at_step)
    for checkpoint in (run / "checkpoints").iterdir():
        (checkpoint / "state.json").unlink()
    answer = upbring(folder, "resume")
    assert answer.code == 4
    assert "nothing valid to resume" in answer.err


def test_a_run_has_one_process_at_a_time(folder: Path, at_step: AtStep) -> None:
    run = stopped(folder, at_step)
    with Run.open(run).lock():
        answer = upbring(folder, "resume", "runs/sft-1")
        newest = upbring(folder, "resume")
    assert answer.code == 2
    assert answer.err.splitlines()[-1] == (
        f"runs/sft-1: process {os.getpid()} on {os.uname().nodename} is using this folder; "
        "wait until it is done, or stop it"
    )
    assert newest.code == 4
    assert "runs: all runs are finished or running" in newest.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 4, "runs: all runs are finished or running, so there is nothing to resume; list "),
        (("sft-1",), 2, "runs/sft-1: is finished; its model is in runs/sft-1/model\n"),
        (("stf-1",), 2, "runs/stf-1: does not exist; did you mean runs/sft-1?\n"),
        (("d.jsonl",), 2, "d.jsonl: is not a run folder; "),
        (("--runs", "none"), 4, "none: no runs, so there is nothing to resume; "),
    ],
)
def test_nothing_to_resume_is_an_error(
    whole: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    answer = upbring(whole.parents[1], "resume", *words)
    assert answer.code == code
    assert answer.err.startswith(message)


def test_a_name_that_is_no_setting_cannot_be_allowed(folder: Path, at_step: AtStep) -> None:
    stopped(folder, at_step)
    answer = upbring(folder, "resume", "--allow-change", "learning_rat")
    assert answer.code == 2
    assert "did you mean learning_rate?" in answer.err


def test_a_run_is_resumed_from_anywhere_with_the_files_of_its_start_directory(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, whole: Path, at_step: AtStep
) -> None:
    at_step(3, stop(signal.SIGINT))
    assert upbring(folder, *SFT).code == 130
    run, elsewhere = folder / "runs" / "sft-1", tmp_path_factory.mktemp("elsewhere")
    answer = done(elsewhere, "resume", str(run))
    assert f"was started in {folder}; relative paths are resolved there" in answer.err
    name = "adapter_model.safetensors"  # its configuration names the base in this very folder
    assert hashes(run / "model")[name] == hashes(whole / "model")[name]
    assert not (elsewhere / "runs").exists()


def test_missing_files_of_a_run_are_reported_with_their_start_directory(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, at_step: AtStep
) -> None:
    at_step(3, stop(signal.SIGINT))
    assert upbring(folder, *SFT).code == 130
    (folder / "d.jsonl").unlink()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    answer = upbring(elsewhere, "resume", str(folder / "runs" / "sft-1"))
    assert answer.code == 2
    assert f"d.jsonl is neither in {folder}, where the run was started, nor in" in answer.err
