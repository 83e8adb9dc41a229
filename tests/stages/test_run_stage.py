"""What a stage writes, and how it fails."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import QUICK, SFT, curve, done, prepare, upbring
from upbring.data.trees.batch import Batch
from upbring.model.load import load
from upbring.runs.run_folder import Run
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve
from upbring.train import checkpoint
from upbring.train.loop import Trainer


def test_the_folder_explains_itself(run: Path) -> None:
    assert sorted(p.name for p in run.iterdir()) == [
        ".lock",
        "README.md",
        "checkpoints",
        "contract.json",
        "data.json",
        "environment.json",
        "metrics.jsonl",
        "model",
        "run.json",
        "samples.jsonl",
        "settings.yaml",
    ]
    assert Run(run).status() == "finished"
    (data,) = json.loads((run / "data.json").read_text())["files"]
    assert (data["file"], data["rows"], data["format"]) == ("d.jsonl", 40, "messages")
    assert json.loads((run / "environment.json").read_text())["threads"] == 1


def test_its_settings_read_back_are_those_that_were_used(run: Path) -> None:
    again = resolve(SftSettings, section="sft", file=run / "settings.yaml", flags={}).settings
    assert (again.steps, again.learning_rate, again.model) == (6, 0.01, "m")
    assert "# flag" in (run / "settings.yaml").read_text()


def test_the_best_weights_are_kept_and_a_line_reports_it(home: Path) -> None:
    # a rate at which the loss jumps: 5.82, 5.68, 5.75, 5.71, 5.70
    wild = (
        "--learning-rate",
        "3",
        "--warmup",
        "0",
        "--max-grad-norm",
        "0",
        "--lr-scheduler",
        "constant",
    )
    words = (*SFT, *wild, "--steps", "5", "--eval-steps", "1")
    few = done(home, *words, "--name", "few").err
    assert "too few to compare steps by, so that the last weights are kept" in few
    assert "using the weights of step" not in few
    output = done(home, *words, "--held-out-share", "0.3", "--name", "wild").err
    run = home / "runs" / "wild"
    held = {r["step"]: r["nll"] for r in curve(run) if r["kind"] == "held_out"}
    best = min(held, key=lambda step: held[step])
    assert best < 5
    assert f"using the weights of step {best}, the best on held-out data" in output
    kept = checkpoint.read(run / "checkpoints" / f"step-{best}").tensors
    written = load_file(run / "model" / "adapter_model.safetensors")
    ours = {
        "base_model.model." + n.removeprefix("weights/").replace(".policy.", "."): t
        for n, t in kept.items()
        if n.startswith("weights/")
    }
    assert ours.keys() == written.keys()
    assert all(torch.equal(ours[name], written[name]) for name in ours)
    last = (*words, "--eval-steps", "1", "--name", "last", "--final-weights", "last")
    assert "using the weights" not in done(home, *last).err


def test_a_folder_deleted_during_the_run_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    take = Trainer._train_step

    def taking(self: Trainer, batches: Sequence[Batch]) -> dict[str, float]:
        if self.step == 4:
            shutil.rmtree(tmp_path / "runs" / "sft-1")
        return take(self, batches)

    monkeypatch.setattr(Trainer, "_train_step", taking)
    answer = upbring(tmp_path, *SFT)
    assert answer.code == 2
    assert answer.err.splitlines()[-1] == (
        "runs/sft-1: the folder is gone; if it was deleted or moved while in use, restore it; "
        "otherwise start a new run"
    )


def test_dora_on_an_adapter_is_written_as_a_full_model_without_loss(home: Path) -> None:
    done(home, "sft", "d.jsonl", "--model", "runs/a", *QUICK, "--dora", "--name", "dora-upon")
    model = home / "runs" / "dora-upon" / "model"
    assert (model / "model.safetensors").is_file()
    assert "library_name: transformers" in (model.parent / "README.md").read_text()
    held = [r["nll"] for r in curve(home / "runs" / "dora-upon") if r["kind"] == "held_out"]
    # as the base of another run that does not change it, it has the measured loss
    words = ("--learning-rate", "1e-30", "--steps", "1", "--name", "still")
    done(home, "sft", "d.jsonl", "--model", "runs/dora-upon", *QUICK, *words)
    again, _ = [r["nll"] for r in curve(home / "runs" / "still") if r["kind"] == "held_out"]
    assert again == pytest.approx(min(held), abs=1e-5)


def test_an_adapter_starts_as_its_base(home: Path) -> None:
    # a step that changes nothing keeps the held-out loss of the base, also of a merged one
    losses = []
    for tune in ("lora", "full"):
        name = f"begin-{tune}"
        words = ("--tune", tune, "--learning-rate", "1e-30", "--steps", "1", "--name", name)
        done(home, "sft", "d.jsonl", "--model", "m", *QUICK, *words)
        losses += [r["nll"] for r in curve(home / "runs" / name) if r["kind"] == "held_out"]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_the_saved_model_loads_with_the_measured_loss(home: Path, run: Path) -> None:
    loaded = load(
        str(run), device=torch.device("cpu"), compute_dtype=torch.float32, log=lambda _: None
    )
    assert loaded.base == Path("m").resolve() or loaded.base == home / "m"
    assert loaded.contract is not None


def test_the_default_learning_rate_of_an_adapter_is_a_warning_where_all_weights_learn(
    home: Path,
) -> None:
    words = ("--model", "m", "--tune", "full", "--steps", "1", "--threads", "1")
    warning = "learning_rate: the default 0.0002 is for LoRA"
    assert warning in done(home, "sft", "d.jsonl", *words, "--name", "full").err
    given = ("--learning-rate", "2e-4", "--name", "given")
    assert warning not in done(home, "sft", "d.jsonl", *words, *given).err
    assert "is for LoRA" not in done(home, "pretrain", "t.jsonl", *words, "--name", "pre").err
