"""Reward models in transformers: the classifier's logit is upbring's score plus the offset."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.commands import done, upbring
from tests.export.exports import make_gpt2, write_export
from tests.rankings import QUICK_REWARD, make_rankings
from tests.small import make_model
from tests.tolerances import LOGPROBS
from upbring.data.chat.tokenizer import PAD_TOKEN, train_tokenizer
from upbring.data.chat.tokenizer_files import load_tokenizer, make_tokenizer
from upbring.data.read.records import Message
from upbring.export import weights
from upbring.export.classifier import choose_padding, make_classifier
from upbring.judge.reward_model import ResponseGroup, RewardModel, load_reward_models

GROUP = ResponseGroup(
    (Message("user", "What is the sky like?"),), ("It is blue.", "No no.", "Red " * 9)
)
RUNS = {
    "lora": ("m",),
    "upon": ("runs/lora",),
    "full": ("m", "--tune", "full"),
    "dora": ("m", "--dora"),
    "gpt": ("g",),
}


@dataclass(frozen=True)
class Home:
    """A folder with reward models, and their outputs in a process without upbring."""

    folder: Path
    outputs: dict[str, Any]

    def model(self, name: str) -> RewardModel:
        (model,) = load_reward_models(
            [str(self.folder / name)],
            device=torch.device("cpu"),
            compute_dtype=torch.float32,
            log=lambda _: None,
        )
        return model

    def upbring_scores(self, name: str) -> list[float]:
        """Return upbring's scores plus the offset."""
        model = self.model(name)
        return [x + model.offset for x in model.scores([GROUP])[0].tolist()]


def rows(folder: Path) -> list[list[int]]:
    """Return the token sequences that the reward model scores."""
    (model,) = load_reward_models(
        [str(folder)], device=torch.device("cpu"), compute_dtype=torch.float32, log=lambda _: None
    )
    tree = model.chat.encode_comparison(GROUP.prompt, GROUP.responses, key="")
    return [[*tree.prompt.tolist(), *branch.tokens.tolist()] for branch in tree.branches]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("home")
    make_model(folder / "m")
    make_gpt2(folder / "g", folder / "m")
    make_rankings(folder / "r.jsonl")
    jobs: dict[str, dict[str, Any]] = {}
    for name, (model, *more) in RUNS.items():
        words = ("reward", "r.jsonl", *QUICK_REWARD, "--model", model, "--name", name, *more)
        done(folder, *words)
        base = "g" if name == "gpt" else "m"
        texts = rows(folder / "runs" / name)
        written = str(folder / "runs" / name / "model")
        whole = {"model": written, "adapter": None, "texts": texts}
        jobs[f"runs/{name}"] = (
            whole
            if name == "full"
            else {"model": str(folder / base), "adapter": written, "texts": texts}
        )
        write_export(folder, name, f"out/{name}", as_="classifier")
        jobs[f"out/{name}"] = {"model": str(folder / "out" / name), "adapter": None, "texts": texts}
    for name in ("lora", "upon"):
        write_export(folder, name, f"adapter/{name}", as_="peft")
        jobs[f"adapter/{name}"] = {
            "model": str(folder / "m"),
            "adapter": str(folder / "adapter" / name),
            "texts": rows(folder / "runs" / name),
        }
    return Home(folder, _read(folder, jobs))


def _read(folder: Path, jobs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the outputs that a process without upbring computes."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(list(jobs.values())))
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("plain_scorer.py")), str(file)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return dict(zip(jobs, json.loads(result.stdout), strict=True))


@pytest.mark.parametrize(
    "name",
    [
        *(f"runs/{run}" for run in RUNS),
        *(f"out/{run}" for run in RUNS),
        *("adapter/lora", "adapter/upon"),
    ],
)
def test_the_transformers_logit_is_the_score_plus_the_offset(home: Home, name: str) -> None:
    run = f"runs/{name.partition('/')[2]}"
    expected = home.upbring_scores(run)
    assert home.outputs[name]["alone"] == pytest.approx(expected, abs=LOGPROBS)
    assert home.model(run).offset != 0
    assert max(expected) - min(expected) > 0.01


@pytest.mark.parametrize("name", ["out/lora", "out/full", "out/gpt", "runs/full", "runs/lora"])
def test_padded_batches_give_the_same_logits(home: Home, name: str) -> None:
    # The base's only special token is both BOS and EOS, so padding needs a new token.
    run = f"runs/{name.partition('/')[2]}"
    outputs = home.outputs[name]
    assert outputs["pad"] not in {row[-1] for row in rows(home.folder / run)}
    assert outputs["pad_text"] == PAD_TOKEN
    assert outputs["filled"] == pytest.approx(home.upbring_scores(run), abs=LOGPROBS)
    for config in (outputs["config_pad"],) if outputs["is_whole"] else ():
        assert config == outputs["pad"]


@pytest.mark.parametrize("run", list(RUNS))
def test_an_exported_model_scores_as_the_run_does(home: Home, run: str) -> None:
    upbring_scores = home.model(f"runs/{run}").scores([GROUP])[0]
    again = home.model(f"out/{run}").scores([GROUP])[0]
    assert again == pytest.approx(upbring_scores, abs=LOGPROBS)


def test_training_can_continue_from_an_exported_reward_model(home: Home) -> None:
    words = ("reward", "r.jsonl", *QUICK_REWARD, "--model", "out/lora", "--steps", "1")
    log = done(home.folder, *words, "--learning-rate", "1e-9", "--name", "further").err
    assert "finished" in log
    before, after = home.upbring_scores("runs/lora"), home.upbring_scores("runs/further")
    assert after == pytest.approx(before, abs=1e-3)  # training starts with the existing head


@pytest.mark.parametrize("name", ["runs/lora", "out/full"])
def test_sft_rejects_a_reward_model(home: Home, name: str) -> None:
    (home.folder / "d.jsonl").write_text('{"prompt": "a", "response": "b"}\n' * 3)
    answer = upbring(home.folder, "sft", "d.jsonl", "--model", name, "--threads", "1")
    assert answer.code == 2
    assert "is a reward model, which scores text and does not generate it; start " in answer.err


def test_an_export_that_differs_is_not_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given: Any, **named: Any) -> Any:
        classifier = make_classifier(*given, **named)
        with torch.no_grad():
            classifier.score.weight += 0.1
        return classifier

    monkeypatch.setattr(weights, "make_classifier", wrong)
    answer = upbring(home.folder, "export", "runs/lora", "--to", "out/wrong")
    assert answer.code == 1
    assert "in transformers (limit 0.001), so it was deleted" in answer.err
    assert not (home.folder / "out" / "wrong").exists()


def test_the_padding_token_is_no_stop_token() -> None:
    bare = train_tokenizer(["the the the"], 300)
    assert choose_padding(bare, {0}).text == PAD_TOKEN
    assert choose_padding(bare, {0}).token_id == bare.size
    bare.backend.add_special_tokens(["<|im_end|>", "<pad>", "<unk>"])
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    ends = [int(bare.backend.token_to_id("<|im_end|>") or 0)]
    for more, expected in (
        ({"pad_token": "<pad>"}, "<pad>"),
        ({"pad_token": "<|im_end|>", "unk_token": "<unk>"}, "<unk>"),  # pad = eos
        ({}, "<|endoftext|>"),  # BOS, which is no stop token here
    ):
        tokenizer = make_tokenizer(bare.backend, special_tokens_map=names | more)
        padding = choose_padding(tokenizer, ends)
        assert padding.text == expected
        assert padding.token_id == tokenizer.special_token_ids[expected]


def test_a_padding_token_does_not_change_the_fingerprint(home: Home) -> None:
    fingerprints = {
        load_tokenizer(home.folder / n).fingerprint for n in ("m", "out/lora", "runs/full/model")
    }
    assert len(fingerprints) == 1
