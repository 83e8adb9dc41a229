"""A reward model as others load it: their logit is our score plus the offset."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.export.exports import make_gpt2
from tests.rankings import QUICK_REWARD, make_rankings
from tests.road import done, upbring
from tests.small import make_model
from tests.tolerances import LOGPROBS
from upbring.data.chat.tokenizer import PAD_TOKEN, train_tokenizer
from upbring.data.chat.tokenizer_files import load_tokenizer, make_tokenizer
from upbring.data.read.records import Message
from upbring.export.classifier import choose_padding, make_classifier
from upbring.judge.reward_model import ResponseGroup, RewardModel, load_reward_models

ASKED = ResponseGroup(
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
    """A folder with reward models, and what a stranger read of them."""

    folder: Path
    read: dict[str, Any]

    def model(self, name: str) -> RewardModel:
        (found,) = load_reward_models(
            [str(self.folder / name)],
            device=torch.device("cpu"),
            compute_dtype=torch.float32,
            log=lambda _: None,
        )
        return found

    def ours(self, name: str) -> list[float]:
        """Return our scores, the offset put back."""
        model = self.model(name)
        return [x + model.offset for x in model.scores([ASKED])[0].tolist()]


def rows(folder: Path) -> list[list[int]]:
    """Return what our judge reads, as rows of tokens."""
    (model,) = load_reward_models(
        [str(folder)], device=torch.device("cpu"), compute_dtype=torch.float32, log=lambda _: None
    )
    tree = model.chat.encode_comparison(ASKED.prompt, ASKED.responses, key="")
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
        done(folder, "export", f"runs/{name}", "--to", f"out/{name}")
        jobs[f"out/{name}"] = {"model": str(folder / "out" / name), "adapter": None, "texts": texts}
    for name in ("lora", "upon"):
        done(folder, "export", f"runs/{name}", "--to", f"adapter/{name}", "--kind", "adapter")
        jobs[f"adapter/{name}"] = {
            "model": str(folder / "m"),
            "adapter": str(folder / "adapter" / name),
            "texts": rows(folder / "runs" / name),
        }
    return Home(folder, _read(folder, jobs))


def _read(folder: Path, jobs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what a process without upbring reads."""
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
def test_a_stranger_reads_our_score_plus_the_offset(home: Home, name: str) -> None:
    run = f"runs/{name.partition('/')[2]}"
    expected = home.ours(run)
    assert home.read[name]["alone"] == pytest.approx(expected, abs=LOGPROBS)
    assert home.model(run).offset != 0
    assert max(expected) - min(expected) > 0.01


@pytest.mark.parametrize("name", ["out/lora", "out/full", "out/gpt", "runs/full", "runs/lora"])
def test_so_does_a_stranger_who_fills_rows_up(home: Home, name: str) -> None:
    # the base's end of text is BOS and EOS and its only control token: padding is one of its own
    run = f"runs/{name.partition('/')[2]}"
    read = home.read[name]
    assert read["pad"] not in {row[-1] for row in rows(home.folder / run)}
    assert read["pad_text"] == PAD_TOKEN
    assert read["filled"] == pytest.approx(home.ours(run), abs=LOGPROBS)
    for config in (read["config_pad"],) if read["is_whole"] else ():
        assert config == read["pad"]


@pytest.mark.parametrize("run", list(RUNS))
def test_what_was_exported_scores_as_the_run_does(home: Home, run: str) -> None:
    ours = home.model(f"runs/{run}").scores([ASKED])[0]
    again = home.model(f"out/{run}").scores([ASKED])[0]
    assert again == pytest.approx(ours, abs=LOGPROBS)


def test_a_whole_reward_model_is_one_to_go_on_from(home: Home) -> None:
    words = ("reward", "r.jsonl", *QUICK_REWARD, "--model", "out/lora", "--steps", "1")
    told = done(home.folder, *words, "--learning-rate", "1e-9", "--name", "further").err
    assert "finished" in told
    before, after = home.ours("runs/lora"), home.ours("runs/further")
    assert after == pytest.approx(before, abs=1e-3)  # it begins with the head that it had


@pytest.mark.parametrize("name", ["runs/lora", "out/full"])
def test_a_reward_model_is_not_taught_to_speak(home: Home, name: str) -> None:
    (home.folder / "d.jsonl").write_text('{"prompt": "a", "response": "b"}\n' * 3)
    answer = upbring(home.folder, "sft", "d.jsonl", "--model", name, "--threads", "1")
    assert answer.code == 2
    assert "is a reward model, which scores and does not speak; begin from " in answer.err


def test_an_export_that_differs_is_not_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given: Any, **named: Any) -> Any:
        made = make_classifier(*given, **named)
        with torch.no_grad():
            made.score.weight += 0.1
        return made

    monkeypatch.setattr("upbring.export.weights.make_classifier", wrong)
    answer = upbring(home.folder, "export", "runs/lora", "--to", "out/wrong")
    assert answer.code == 1
    assert "in a log-probability or score, so it was not kept" in answer.err
    assert not (home.folder / "out" / "wrong").exists()


def test_what_pads_ends_no_answer() -> None:
    bare = train_tokenizer(["the the the"], 300)
    assert choose_padding(bare, {0}).text == PAD_TOKEN
    assert choose_padding(bare, {0}).token_id == bare.size
    bare.backend.add_special_tokens(["<|im_end|>", "<pad>", "<unk>"])
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    ends = [int(bare.backend.token_to_id("<|im_end|>") or 0)]
    for more, expected in (
        ({"pad_token": "<pad>"}, "<pad>"),
        ({"pad_token": "<|im_end|>", "unk_token": "<unk>"}, "<unk>"),  # pad = eos
        ({}, "<|endoftext|>"),  # BOS, which ends nothing here
    ):
        tokenizer = make_tokenizer(bare.backend, special_tokens_map=names | more)
        found = choose_padding(tokenizer, ends)
        assert found.text == expected
        assert found.token_id == tokenizer.special_token_ids[expected]


def test_a_token_that_pads_makes_no_other_tokenizer(home: Home) -> None:
    prints = {
        load_tokenizer(home.folder / n).fingerprint for n in ("m", "out/lora", "runs/full/model")
    }
    assert len(prints) == 1
