from pathlib import Path

import pytest

from tests.commands import QUICK, curve, done, prepare, upbring


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("home"))


def test_a_model_learns_from_plain_text(home: Path) -> None:
    (home / "t.txt").write_text("The sky is blue.\nThe grass is green.\n" * 20)
    output = done(home, "pretrain", "t.jsonl", "t.txt", "--model", "m", *QUICK).err
    assert "training: all weights, 36,000 parameters (100.00%" in output
    run = home / "runs" / "pretrain-1"
    assert (run / "model" / "model.safetensors").is_file()
    held = [r["nll"] for r in curve(run) if r["kind"] == "held_out"]
    assert held[-1] < held[0]


def test_sample_prompts_are_continued_at_each_evaluation(home: Path) -> None:
    words = ("--sample-prompts", "The sky", "--sample-prompts", "A ball", "--name", "said")
    done(home, "pretrain", "t.jsonl", "--model", "m", *QUICK, *words)
    lines = (home / "runs" / "said" / "samples.jsonl").read_text().splitlines()
    assert len(lines) == 3 * 2  # before the first step, in the middle and at the end
    assert '"prompt": "The sky"' in lines[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.txt", "--model", "m"), "none.txt: "),
        (("t.jsonl", "--model", "m", "--tokenizer", "none"), "none"),
        (("t.jsonl", "--model", "m", "--vocab-size", "10"), "--vocab-size"),
        (("t.jsonl", "--model", "m", "--max-length", "1"), "--max-length"),
    ],
)
def test_a_mistake_is_reported_and_no_run_is_created(
    home: Path, words: tuple[str, ...], message: str
) -> None:
    before = sorted(home.glob("runs/*"))
    answer = upbring(home, "pretrain", *QUICK, *words)
    assert answer.code == 2
    assert message in answer.err.splitlines()[-1]
    assert sorted(home.glob("runs/*")) == before


def test_only_pretraining_takes_a_model_without_weights(home: Path) -> None:
    bare = home / "bare"
    bare.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_text((home / "m" / name).read_text())
    answer = upbring(home, "sft", "d.jsonl", "--model", "bare", *QUICK)
    assert answer.code == 2
    assert answer.err.splitlines()[-1] == (
        "bare: has no safetensors weights; pre-train it first with `upbring pretrain`"
    )
