"""`upbring ppo` from the command line: its files, its models and its error messages."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import QUICK, curve, done, prepare, upbring
from tests.rewarded import make_reward
from tests.small import make_model
from upbring.runs.contract import read_contract

PPO = (
    "ppo",
    "d.jsonl",
    "--model",
    "m",
    *QUICK,
    "--max-response-length",
    "5",
    "--eval-prompts",
    "2",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    make_reward(folder / "m", folder / "r")
    make_reward(folder / "m", folder / "j", seed=1)
    return folder


def test_a_run_ends_with_a_verdict_and_writes_a_policy(home: Path) -> None:
    answer = done(home, *PPO, "--reward-model", "r", "--judge", "j", "--name", "a")
    (verdict,) = (line for line in answer.err.splitlines() if line.startswith("verdict: "))
    assert "reward " in verdict
    assert "judge " in verdict
    assert read_contract(home / "runs/a/model/contract.json").kind == "policy"
    held = [line for line in curve(home / "runs/a") if line["kind"] == "held_out"]
    assert {"reward", "judge", "kl", "length", "ended", "error"} <= held[0].keys()
    shown = [json.loads(x) for x in (home / "runs/a/samples.jsonl").read_text().splitlines()]
    assert all(len(row["kl"]) == len(row["tokens"]) == len(row["values"]) for row in shown)


def test_it_stops_where_the_divergence_is_above_its_budget(home: Path) -> None:
    words = ("--reward-model", "r", "--max-kl", "1e-6", "--update-epochs", "1", "--name", "b")
    answer = done(home, *PPO, *words)
    assert "above max_kl 1e-06; stopping here\n" in answer.err
    assert "stopped early, after step 1 of 6" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no reward is given; give --reward-model RUN or --reward-function FILE.py:FUNCTION"),
        (("--rule", "jsn"), "reward_function: 'jsn' is unknown; did you mean json?"),
        (("--reward-model", "r=x"), "reward_model: 'r=x' has no number after the =; write it"),
        (("--reward-model", "m"), "m: has no reward head, so it cannot score; train one with"),
        (("--reward-model", "none"), "none: no such directory"),
        (
            ("--reward-model", "builtin:gold"),
            "has no `task`, and builtin:gold can only score the toy world",
        ),
        (
            ("--reward-model", "r", "--kl-in", "loss"),
            "kl_estimator: k1 in the loss has no gradient",
        ),
        (
            ("--reward-model", "r", "--tune", "full", "--ema-decay", "0.9"),
            "ema_decay: averages an adapter, and tune is full",
        ),
        (("--reward-model", "r", "--data", "d.jsonl"), "no such flag --data"),
        (("--reward-model", "r", "--max-length", "6"), "no row to train on"),
    ],
)
def test_a_mistake_is_reported(home: Path, words: tuple[str, ...], message: str) -> None:
    answer = upbring(home, *PPO, *words, "--runs", "mistakes")
    assert answer.code == 2
    assert message in answer.err


def test_prompts_may_be_given_by_their_flag(home: Path) -> None:
    method, _file, *words = PPO
    by_flag = (method, "--prompts", "d.jsonl", *words, "--reward-model", "r", "--steps", "1")
    done(home, *by_flag, "--name", "flag")
    done(home, *PPO, "--reward-model", "r", "--steps", "1", "--name", "place")
    assert curve(home / "runs/flag") == curve(home / "runs/place")


def test_two_processes_sample_their_shares_and_train_as_one(home: Path) -> None:
    words = (
        *PPO,
        "--reward-model",
        "r",
        "--steps",
        "4",
        "--mix",
        "d.jsonl=0.5",
        "--num-generations",
        "2",
    )
    for count in ("1", "2"):
        done(home, *words, "--learning-rate", "0.003", "--processes", count, "--name", f"p{count}")
    one, two = (
        [json.loads(x) for x in (home / f"runs/p{n}/samples.jsonl").read_text().splitlines()]
        for n in (1, 2)
    )
    assert [row["tokens"] for row in one] == [row["tokens"] for row in two]
    for mine, theirs in zip(curve(home / "runs/p1"), curve(home / "runs/p2"), strict=True):
        assert mine.pop("kind") == theirs.pop("kind")
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    ours, others = (
        load_file(home / f"runs/p{n}/checkpoints/step-4/tensors.safetensors") for n in (1, 2)
    )
    assert torch.equal(ours["algorithm/rollouts/tokens"], others["algorithm/rollouts/tokens"])
    for name, tensor in ours.items():
        if name.startswith("weights/"):
            assert torch.allclose(tensor, others[name], atol=1e-4), name


def test_a_reward_model_of_another_base_is_loaded_separately(home: Path) -> None:
    make_reward(make_model(home / "m2", seed=5), home / "r2")
    answer = done(home, *PPO, "--reward-model", "r2", "--steps", "1", "--name", "other")
    assert "r2: has another base, so it is loaded separately" in answer.err


def test_full_fine_tuning_works_and_its_memory_cost_is_logged(home: Path) -> None:
    words = ("--reward-model", "r", "--tune", "full", "--steps", "2", "--learning-rate", "1e-3")
    answer = done(home, *PPO, *words, "--name", "full")
    assert "tune full: a second, frozen copy of the model (144.0 kB)" in answer.err
    first, *_ = curve(home / "runs/full")
    assert abs(float(str(first["kl"]))) < 1e-5
    assert (home / "runs/full/model/model.safetensors").is_file()
