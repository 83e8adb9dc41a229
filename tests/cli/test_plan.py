import re
import shutil
from pathlib import Path

import pytest

from tests import commands
from tests.rewarded import make_reward

SFT = ("sft", "d.jsonl", "--model", "m", "--dtype", "float32", "--threads", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return commands.prepare(tmp_path_factory.mktemp("home"))


def test_memory_and_time_are_printed_by_part_and_no_run_is_created(home: Path) -> None:
    answer = commands.done(home, "plan", *SFT, "--rank", "4")
    headline, memory, *_ = answer.out.splitlines()
    assert headline == "3,712 of 36,000 trainable (10.31%)"  # a quarter of rank 16's
    assert memory.startswith("memory: about ")
    for part in ("weights", "adapters", "optimizer moments", "activations"):
        assert part in answer.out
    assert "time: about " in answer.out
    assert "15 steps" in answer.out
    assert not (home / "runs").exists()


def test_a_settings_file_is_planned_unchanged(home: Path) -> None:
    (home / "r.yaml").write_text(
        "sft: {model: m, data: [d.jsonl], steps: 3, threads: 1, dtype: float32}\n"
    )
    assert "3 steps" in commands.done(home, "plan", "sft", "--settings", "r.yaml").out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "upbring plan: COMMAND is required; for example: `upbring plan sft chat.jsonl --m"),
        (("chat", "m"), "upbring plan: chat is not a training command or a recipe; name one fir"),
        (("stf",), "upbring plan: stf is not a training command or a recipe; name one first: `up"),
        (("sft", "--rnak", "3"), "upbring sft: no such flag --rnak; did you mean --rank?"),
        (("sft", "d.jsonl", "--model", "nowhere"), "nowhere: no such directory"),
    ],
)
def test_what_cannot_be_planned_is_one_message(
    home: Path, words: tuple[str, ...], expected: str
) -> None:
    answer = commands.upbring(home, "plan", *words)
    assert answer.code == 2
    assert answer.err.startswith(expected)
    assert answer.err.count("\n") == 1


def test_a_command_that_samples_is_planned_with_its_rounds(home: Path) -> None:
    (home / "p.jsonl").write_text('{"prompt": "What is red?"}\n' * 20)
    rest = SFT[2:]
    make_reward(home / "m", home / "r")
    words = (
        "--reward-model",
        "r",
        "--steps",
        "3",
        "--batch-size",
        "4",
        "--max-response-length",
        "8",
    )
    answer = commands.done(home, "plan", "ppo", "p.jsonl", *rest, *words)
    assert "\nmemory: about " in answer.out
    assert "3 steps" in answer.out
    answer = commands.upbring(home, "plan", "rloo", "p.jsonl", *rest, "--reward-model", "nowhere")
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("nowhere: no such directory")


RECIPE = """
model: m
defaults: {steps: 2, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
"""


def test_a_recipe_is_planned_stage_by_stage_before_and_after_a_run(home: Path) -> None:
    (home / "pipeline.yaml").write_text(RECIPE)
    answer = commands.done(home, "plan", "pipeline.yaml", "--to", "planned")
    assert re.search(r"^sft +sft +to do +about .* about .*B +about .*B", answer.out, re.MULTILINE)
    assert "to do: 1 of 1 stage, about " in answer.out
    assert " free on the disk\n" in answer.out
    assert "not counted" not in answer.out
    assert not (home / "planned").exists()
    commands.done(home, "run", "pipeline.yaml", "--to", "planned")
    answer = commands.done(home, "plan", "pipeline.yaml", "--to", "planned")
    assert re.search(r"^sft +sft +kept ", answer.out, re.MULTILINE)
    assert "all stages are finished and kept" in answer.out


def test_a_plan_is_a_line_per_stage_without_a_terminal_and_a_table_on_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = (
        RECIPE
        + """
  world: {method: toyworld, characters: 20_000}
  after-a-world-of-its-own: {method: sft, data: world/demonstrations.jsonl}
evaluate:
"""
    )
    (home / "long.yaml").write_text(text.replace("steps: 2", "steps: 3"))
    lines = commands.done(home, "plan", "long.yaml").out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["sft", "world", "after-a-world-of-its-own"]
    assert lines[3].endswith("not known before world")
    assert lines[5] == "not counted: world, after-a-world-of-its-own, the evaluation"
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal does
    monkeypatch.setenv("TERM", "xterm")
    narrow = commands.done(home, "plan", "long.yaml").out
    assert "after-a-world-of-its-own" in narrow
    assert "───" not in narrow
    monkeypatch.setenv("COLUMNS", "120")
    assert "───" in commands.done(home, "plan", "long.yaml").out


def test_a_recipe_that_does_not_fit_on_the_disk_gives_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "pipeline.yaml").write_text(RECIPE)
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    answer = commands.done(home, "plan", "pipeline.yaml", "--to", "none")
    assert "of 1.0 kB free on the disk" in answer.out
    assert answer.out.endswith(
        "not enough disk space: free some, or set `save_total_limit: 2` and a smaller `rank:`\n"
    )


@pytest.mark.parametrize(
    ("recipe", "words", "expected"),
    [
        (
            RECIPE,
            ("--rank", "3"),
            "upbring plan: --rank does not apply to a recipe; give only --to FOLDER",
        ),
        (RECIPE.replace("d.jsonl", "e.jsonl"), (), "r.yaml:5: sft.data: 'e.jsonl' not found"),
        (RECIPE.replace("sft:", "stf:"), (), "r.yaml:5: stf: unknown method 'stf'; did you mean"),
        (
            RECIPE.replace("{data", "{model: sft, data"),
            (),
            "r.yaml:5: sft.model: refers to its own stage",
        ),
        (
            RECIPE + "evaluate:\ngates: {fcts: '> 1'}",
            (),
            "r.yaml:7: gates.fcts: unknown metric 'fcts'; did you mean facts?",
        ),
        (RECIPE.replace("model: m", "model: nowhere"), (), "nowhere: no such directory"),
    ],
)
def test_an_invalid_recipe_is_reported_before_it_is_planned(
    home: Path, recipe: str, words: tuple[str, ...], expected: str
) -> None:
    (home / "r.yaml").write_text(recipe)
    answer = commands.upbring(home, "plan", "r.yaml", *words)
    assert answer.code == 2
    assert answer.err.startswith(expected)
    assert answer.err.count("\n") == 1
    assert not answer.out
    assert not (home / "runs" / "r").exists()
