"""Every command names a file that differs from what was saved; a recipe makes it again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import SFT, done, hashes, prepare, upbring
from tests.preferences import make_rankings
from tests.traced import tracing
from upbring import durable

QUICK = ("--steps", "1", "--batch-size", "2", "--dtype", "float32", "--threads", "1")
RECIPE = """
model: m
defaults: {steps: 2, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2, held_out_share: 0}
stages:
  world: {method: toyworld, characters: 20000}
  sft: {data: d.jsonl}
  ranked: {method: collect, model: sft, prompts: world/prompts.jsonl, by: annotators, limit: 4,
           max_tokens: 8}
  dpo: {model: sft, data: r.jsonl}
"""
READERS = (
    ("sft", "d.jsonl", "--model", "runs/a", *QUICK),
    ("dpo", "r.jsonl", "--model", "runs/a", *QUICK),
    ("check", "d.jsonl", "--model", "runs/a"),
    ("plan", "sft", "d.jsonl", "--model", "runs/a"),
    ("chat", "runs/a", "--prompt", "Hello"),
    ("export", "runs/a", "--to", "exported"),
    ("score", "r.jsonl", "--model", "runs/reward"),
    ("evaluate", "runs/a", "--suite", "forgetting", "--data", "t.jsonl", "--to", "evaluated"),
)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    make_rankings(folder / "r.jsonl")
    done(folder, *SFT, "--name", "a")
    done(folder, "reward", "r.jsonl", "--model", "m", *QUICK, "--name", "reward")
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(params=["adapter_model.safetensors", "adapter_config.json", "tokenizer.json"])
def damaged(home: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    folders = [home / "runs" / name / "model" for name in ("a", "reward")]
    before = [(folder / request.param).read_bytes() for folder in folders]
    for folder in folders:
        flip(folder / request.param)
    yield request.param
    for folder, data in zip(folders, before, strict=True):
        (folder / request.param).write_bytes(data)


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_every_command_names_a_damaged_model(home: Path, damaged: str, words: tuple[str]) -> None:
    answer = upbring(home, *words)
    assert answer.code == 2
    assert f"model/{damaged}: differs from what was saved" in answer.err.replace("\n", "")


def test_a_report_names_a_damaged_model(home: Path, damaged: str) -> None:
    answer = done(home, "report", "runs/a", "--to", "reported")
    assert f"skipped: runs/a/model/{damaged}: differs from what was saved" in answer.out


def test_an_added_file_that_would_be_read_is_named(home: Path) -> None:
    added = home / "runs/a/model/model.safetensors"
    added.write_bytes((home / "m/model.safetensors").read_bytes())
    answer = upbring(home, "chat", "runs/a", "--prompt", "Hello")
    added.unlink()
    assert answer.code == 2
    assert "model.safetensors: was not there when the folder was saved" in answer.err


def test_a_missing_manifest_is_reported_and_accepts_a_changed_file(home: Path) -> None:
    shutil.copytree(home / "runs/a/model", home / "copy")
    flip(home / "copy" / "contract.json")
    assert upbring(home, "chat", "copy", "--prompt", "Hello").code == 2
    shutil.copy(home / "runs/a/model/contract.json", home / "copy")
    (home / "copy" / durable.MANIFEST).unlink()
    answer = done(home, "chat", "copy", "--prompt", "Hello")
    assert "copy: has no manifest.json, so damage to its files cannot be noticed" in answer.err


def test_the_built_in_model_is_verified_and_read_once(home: Path) -> None:
    with tracing() as trace:
        done(home, "chat", "builtin:sprout", "--prompt", "Hello")
        done(home, "chat", "builtin:sprout", "--prompt", "Hello")
    # safetensors opens the weights in native code, which is not traced
    assert [p.name for p in trace.opened].count("model.safetensors") <= 1
    assert [p.name for p in trace.opened].count(durable.MANIFEST) >= 2


def test_a_recipe_makes_damaged_stages_again_and_keeps_the_others(home: Path) -> None:
    done(home, "run", "recipe.yaml", "--to", "pipeline")
    stages = home / "pipeline" / "stages"
    before = {path: path.stat().st_ino for path in stages.iterdir()}
    intact = hashes(stages / "sft" / "model")
    rankings = (stages / "ranked" / "rankings.jsonl").read_bytes()
    (stages / "ranked" / "rankings.jsonl").write_bytes(rankings[:100])
    flip(stages / "world" / "prompts.jsonl")
    (stages / "sft" / "model" / "adapter_model.safetensors").unlink()
    answer = done(home, "run", "recipe.yaml", "--to", "pipeline")
    told = answer.err.replace("\n", "")
    for name, damage in (
        ("world", "prompts.jsonl: differs from what was saved"),
        ("sft", "adapter_model.safetensors: cannot be read: No such file or directory"),
        ("ranked", "rankings.jsonl: has 100 bytes, but had"),
    ):
        assert damage in told
        assert f"old output kept as {name}.before-1" in told
    assert "dpo: finished before, kept" in told
    assert (stages / "dpo").stat().st_ino == before[stages / "dpo"]
    assert not (stages / "dpo.before-1").exists()
    assert (stages / "ranked" / "rankings.jsonl").read_bytes() == rankings
    made_again = hashes(stages / "sft" / "model")
    assert made_again["adapter_model.safetensors"] == intact["adapter_model.safetensors"]


def test_rankings_by_people_are_never_put_aside(home: Path) -> None:
    (home / "people.yaml").write_text(
        "model: m\nstages:\n"
        "  ranked: {method: collect, prompts: d.jsonl, limit: 4, max_tokens: 8}\n"
    )
    assert "waiting for people" in done(home, "run", "people.yaml", "--to", "by-people").err
    ranked = home / "by-people" / "stages" / "ranked"
    rows = [json.loads(line) for line in (ranked / "answers.jsonl").read_text().splitlines()]
    text = "".join(
        json.dumps({**row, "ranks": [*range(1, 1 + len(row["responses"]))]}) + "\n" for row in rows
    )
    (ranked / "rankings.jsonl").write_text(text)
    done(home, "run", "people.yaml", "--to", "by-people")
    (ranked / "rankings.jsonl").write_text(text[:100])
    answer = upbring(home, "run", "people.yaml", "--to", "by-people")
    assert answer.code == 2
    assert "rankings.jsonl: has 100 bytes, but had" in answer.err.replace("\n", "")
    assert (ranked / "rankings.jsonl").read_text() == text[:100]


def test_data_from_a_damaged_world_is_named(home: Path) -> None:
    done(home, "toyworld", "export", "world", "--characters", "20000")
    flip(home / "world" / "evaluation" / "clozes.jsonl")
    done(home, "check", "world/evaluation/command-lines.jsonl")
    answer = upbring(home, "check", "world/evaluation/clozes.jsonl")
    assert answer.code == 2
    assert "clozes.jsonl: differs from what was saved" in answer.err
