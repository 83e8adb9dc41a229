"""Reward model training: its data, its files, and what it refuses."""

import json
import math
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.commands import curve, done, hashes, prepare, upbring
from tests.rankings import QUICK_REWARD, make_rankings
from upbring import durable
from upbring.algorithms.reward_model import BradleyTerry, PlackettLuce
from upbring.data.read.records import Message
from upbring.data.trees.batch import Batch
from upbring.judge.reward_model import ResponseGroup, RewardModel, load_reward_models
from upbring.model.load import load
from upbring.runs.contract import read_contract
from upbring.runs.results import read_results
from upbring.settings.methods.reward_model import RewardSettings
from upbring.stages.reward_model import make_criterion
from upbring.train.loop import Trainer

REWARD = ("reward", "r.jsonl", "--model", "m", *QUICK_REWARD)
TEXT_FILES = ("samples.jsonl", "settings.yaml", "data.json", "contract.json", "results.json")


def filled(folder: Path) -> Path:
    prepare(folder)
    make_rankings(folder / "r.jsonl")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = filled(tmp_path_factory.mktemp("home"))
    done(folder, *REWARD, "--name", "one")
    return folder


def judge(folder: Path, run: str) -> RewardModel:
    (found,) = load_reward_models(
        [str(folder / "runs" / run)],
        device=torch.device("cpu"),
        compute_dtype=torch.float32,
        log=lambda _: None,
    )
    return found


def scores_of(folder: Path, run: str) -> list[dict[str, object]]:
    lines = (folder / "runs" / run / "scores.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def held_out(folder: Path, run: str) -> list[dict[str, float]]:
    return [
        {k: float(str(v)) for k, v in line.items() if k not in {"kind", "is_best"}}
        for line in curve(folder / "runs" / run)
        if line["kind"] == "held_out"
    ]


def test_it_learns_the_preferences_and_reports_them(home: Path) -> None:
    before, *_, after = held_out(home, "one")
    assert after["nll"] < before["nll"]
    assert after["accuracy"] > 0.8
    assert after["margin"] > before["margin"]
    numbers = {each.name: each for each in read_results(home / "runs" / "one")}
    assert numbers["pair_accuracy"].value == pytest.approx(after["accuracy"], abs=0.1)
    assert numbers["pair_accuracy"].model == "one"
    assert "beaten_by_spam" in numbers


def test_the_best_held_out_responses_score_0_on_average(home: Path) -> None:
    best = [float(str(row["score"])) for row in scores_of(home, "one") if row["rank"] == 1]
    assert best
    assert sum(best) / len(best) == pytest.approx(0, abs=1e-5)
    run = home / "runs" / "one"
    offset = read_contract(run / "model" / "contract.json").offset
    assert offset == read_contract(run / "contract.json").offset != 0


def test_the_saved_model_scores_as_the_trained_one(home: Path) -> None:
    rows = {(r["row"], r["response"]): r for r in scores_of(home, "one")}
    model = judge(home, "one")
    lines = (home / "r.jsonl").read_text().splitlines()
    for (row, response), scored in rows.items():
        line = json.loads(lines[int(str(row).rpartition(":")[2]) - 1])
        text = str(scored["text"])
        assert line["responses"][response] == text
        (found,) = model.scores([ResponseGroup((Message("user", line["prompt"]),), (text,))])
        assert found[0] == pytest.approx(scored["score"], abs=1e-5)
        assert scored["logistic"] == pytest.approx(1 / (1 + math.exp(-found[0])), abs=1e-5)


def test_demonstrations_score_0_on_average_if_they_are_set(home: Path) -> None:
    words = (*REWARD, "--steps", "1", "--name", "shown", "--demonstrations", "d.jsonl")
    done(home, *words)
    rows = [json.loads(line) for line in (home / "d.jsonl").read_text().splitlines()]
    groups = [
        ResponseGroup(
            (Message("user", r["messages"][0]["content"]),), (r["messages"][1]["content"],)
        )
        for r in rows
    ]
    found = judge(home, "shown").scores(groups)
    assert float(np.concatenate(found).mean()) == pytest.approx(0, abs=1e-5)


def test_several_epochs_are_warned_about(home: Path) -> None:
    words = [word for word in REWARD if word not in {"--steps", "6"}]
    output = done(home, *words, "--epochs", "1.5", "--batch-size", "30").err
    assert "epochs: 1.5; reward models often overfit after the first epoch" in output


def test_rows_of_one_prompt_are_held_out_together(home: Path) -> None:
    # of 40 rows the first 8 ask four questions twice
    assert "36 examples to train on" not in done(home, *REWARD, "--steps", "1").err
    output = done(home, *REWARD, "--steps", "1", "--held-out-share", "0").err
    assert "36 examples to train on, 0 held out" in output
    assert "nothing is held out: the offset is the mean score of training responses" in output
    assert "no held-out ranking prefers a response, so its quality is unknown" in output


def test_full_fine_tuning_makes_a_full_model(home: Path) -> None:
    output = done(home, *REWARD, "--tune", "full", "--learning-rate", "1e-3", "--name", "full").err
    assert "finished" in output
    assert held_out(home, "full")[-1]["accuracy"] > 0.6
    files = hashes(home / "runs" / "full" / "model")
    assert "model.safetensors" in files
    loaded = load(
        str(home / "runs" / "full"),
        device=torch.device("cpu"),
        compute_dtype=torch.float32,
        log=lambda _: None,
    )
    assert loaded.head is not None
    assert loaded.contract is not None
    assert loaded.contract.kind == "reward"


@pytest.mark.parametrize(
    "more",
    [
        ("--loss", "plackett-luce", "--label-smoothing", "0.1"),
        ("--margin", "0.5", "--center-rewards-coef", "0.1"),
        ("--micro-batch-tokens", "1", "--gradient-checkpointing"),
        ("--mix", "r.jsonl=0.3"),
    ],
)
def test_each_loss_and_option_ends_in_a_model(home: Path, more: tuple[str, ...]) -> None:
    output = done(home, *REWARD, *more).err
    assert "reward model: " in output
    assert "finished" in output


def test_the_settings_choose_the_criterion() -> None:
    settings = RewardSettings(model="m", data=(Path("r"),), label_smoothing=0.2)
    pairs = make_criterion(settings.model_copy(update={"margin": 2.0}))
    assert pairs == BradleyTerry(0.2, 2.0)
    assert make_criterion(settings.model_copy(update={"loss": "plackett-luce"})) == PlackettLuce(
        0.2
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--loss", "plackett-luce", "--margin", "1"), "margin: needs pairs, and plackett-luce "),
        (("--demonstrations", "none.jsonl"), "none.jsonl: "),
        (("--demonstrations", "t.jsonl"), "gives documents, not prompt-response pairs"),
        (
            ("--held-out", "d.jsonl"),
            "d.jsonl: is in the format messages (messages), which gives prompt-response pairs",
        ),
    ],
)
def test_a_mistake_is_reported_before_a_run_is_created(
    home: Path, more: tuple[str, ...], message: str
) -> None:
    before = sorted((home / "runs").iterdir())
    answer = upbring(home, *REWARD, *more)
    assert answer.code == 2
    assert message in answer.err
    assert sorted((home / "runs").iterdir()) == before


def test_an_architecture_without_a_classifier_is_refused_for_a_full_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upbring.stages.reward_model.has_classifier", lambda _: False)
    answer = upbring(home, *REWARD, "--tune", "full")
    assert answer.code == 2
    assert (
        "tune: transformers has no sequence classifier for llama, so that a full reward "
        in answer.err
    )


@pytest.mark.parametrize("step", [1, 4])
def test_interrupted_and_resumed_gives_the_same_bits(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    filled(tmp_path)
    take = Trainer._train_step

    def taking(self: Trainer, batches: Sequence[Batch]) -> object:
        if self.step == step:
            monkeypatch.setattr(Trainer, "_train_step", take)
            signal.raise_signal(signal.SIGTERM)
        return take(self, batches)

    monkeypatch.setattr(Trainer, "_train_step", taking)
    assert upbring(tmp_path, *REWARD, "--name", "one").code == 143
    done(tmp_path, "resume")
    runs = [folder / "runs" / "one" for folder in (home, tmp_path)]
    models = [hashes(run / "model") for run in runs]
    for files in models:  # these two contain the path of the base
        del files["adapter_config.json"], files["manifest.json"]
    assert models[0] == models[1]
    last = [hashes(run / "checkpoints" / "step-6") for run in runs]
    assert last[0]["tensors.safetensors"] == last[1]["tensors.safetensors"]
    assert curve(runs[0]) == curve(runs[1])
    assert (runs[0] / "scores.jsonl").read_text() == (runs[1] / "scores.jsonl").read_text()
    for name in TEXT_FILES:
        assert (runs[0] / name).read_text() == (runs[1] / name).read_text()


def test_a_run_that_is_stopped_in_its_report_says_so_and_completes_it_on_resume(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    score = RewardModel.scores

    def stop_at_report(self: RewardModel, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(RewardModel, "scores", score)
        signal.raise_signal(signal.SIGINT)
        return score(self, *args, **kwargs)

    monkeypatch.setattr(RewardModel, "scores", stop_at_report)
    stopped = upbring(tmp_path, *REWARD, "--name", "one")
    assert stopped.code == 130
    assert (
        "runs/one: the model is written to runs/one/model, but its report is not finished; "
        "complete it with `upbring resume runs/one`"
    ) in stopped.err
    run = tmp_path / "runs" / "one"
    written = hashes(run / "model")
    assert not (run / "results.json").exists()
    resumed = done(tmp_path, "resume", "runs/one").err
    assert "runs/one/model: is already written; completing its report" in resumed
    completed = hashes(run / "model")
    assert completed.pop("results.json"), "the figures travel with the model"
    assert completed.pop("manifest.json") != written.pop("manifest.json"), "and are in its manifest"
    durable.verify(run / "model")
    assert completed == written
    assert (run / "results.json").read_text() == (
        home / "runs" / "one" / "results.json"
    ).read_text()
