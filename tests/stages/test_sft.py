"""Pre-training of a new model, and which tokenizer it uses."""

from pathlib import Path

import pytest

from tests.commands import QUICK, done, hashes, prepare, upbring
from upbring.data.chat.tokenizer import train_tokenizer
from upbring.data.chat.tokenizer_files import save_tokenizer

PRETRAIN = ("pretrain", "t.jsonl", "--model", "m", *QUICK)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("home"))


def test_pretraining_makes_a_new_model_and_a_new_tokenizer(home: Path) -> None:
    bare = home / "bare"
    bare.mkdir()
    config = (home / "m" / "config.json").read_text()
    (bare / "config.json").write_text(config)
    words = ("pretrain", "t.jsonl", "--model", "bare", *QUICK)
    output = done(home, *words, "--name", "new").err
    assert "training a tokenizer with 320 tokens on the data" in output
    done(home, *words, "--name", "new-again")
    model = home / "runs" / "new" / "model"
    assert hashes(model) == hashes(home / "runs" / "new-again" / "model")
    assert (model / "tokenizer.json").is_file()
    done(home, *words, "--name", "new-other", "--seed", "1")
    assert (
        hashes(model)["tokenizer.json"] == hashes(home / "runs/new-other/model")["tokenizer.json"]
    )
    done(home, "sft", "d.jsonl", "--model", "runs/new", *QUICK, "--name", "taught")


def test_a_tokenizer_must_fit_the_model(home: Path) -> None:
    folder = home / "big"
    folder.mkdir()
    words = (f"{a}{b}{c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwx")
    save_tokenizer(train_tokenizer([" ".join(words)] * 4, 400), folder)
    answer = upbring(home, *PRETRAIN, "--tokenizer", "big")
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(
        "tokenizer: has 400 tokens, and the model's vocab_size is 320; use "
    )
