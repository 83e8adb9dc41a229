import re
from pathlib import Path

import pytest

from tests import road
from tests.rewarded import make_reward

SFT = ("sft", "d.jsonl", "--model", "m", "--precision", "float32", "--threads", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return road.prepare(tmp_path_factory.mktemp("home"))


def test_memory_and_time_are_told_by_part_and_nothing_is_begun(home: Path) -> None:
    answer = road.done(home, "plan", *SFT, "--rank", "4")
    assert answer.out.startswith("memory: about ")
    for part in ("weights", "adapter", "optimiser's moments", "activations", "logits"):
        assert part in answer.out
    assert "time: about " in answer.out
    assert "15 steps" in answer.out
    assert not (home / "runs").exists()


def test_a_settings_file_is_planned_as_it_stands(home: Path) -> None:
    (home / "r.yaml").write_text(
        "sft: {model: m, data: [d.jsonl], steps: 3, threads: 1, precision: float32}\n"
    )
    assert "3 steps" in road.done(home, "plan", "sft", "--settings", "r.yaml").out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "--do: required and not given"),
        (("chat", "m"), "upbring plan: chat is no verb that trains; give one of pretrain, sft, "),
        (("stf",), "upbring plan: stf is no verb that trains; did you mean sft?"),
        (("sft", "--rnak", "3"), "upbring sft: no such flag --rnak; did you mean --rank?"),
        (("sft", "d.jsonl", "--model", "nowhere"), "nowhere: there is no such directory"),
    ],
)
def test_what_cannot_be_planned_is_one_message(
    home: Path, words: tuple[str, ...], expected: str
) -> None:
    answer = road.upbring(home, "plan", *words)
    assert answer.code == 2
    assert answer.err.startswith(expected)
    assert answer.err.count("\n") == 1


def test_a_verb_that_samples_is_planned_with_its_rounds(home: Path) -> None:
    (home / "p.jsonl").write_text('{"prompt": "What is red?"}\n' * 20)
    rest = SFT[2:]
    make_reward(home / "m", home / "r")
    words = ("--reward", "r", "--steps", "3", "--step-examples", "4", "--response-tokens", "8")
    answer = road.done(home, "plan", "ppo", "p.jsonl", *rest, *words)
    assert answer.out.startswith("memory: about ")
    assert "3 steps" in answer.out
    answer = road.upbring(home, "plan", "rloo", "p.jsonl", *rest, "--reward", "nowhere")
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("nowhere: there is no such directory")


RECIPE = """
model: m
defaults: {steps: 2, step_examples: 2, precision: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
"""


def test_a_recipe_is_planned_stage_by_stage_before_and_behind_the_road(home: Path) -> None:
    (home / "road.yaml").write_text(RECIPE)
    answer = road.done(home, "plan", "road.yaml", "--to", "planned")
    assert re.search(r"^sft +sft +to do +about .* about .*B +about .*B", answer.out, re.MULTILINE)
    assert "to do: 1 of the stages, about " in answer.out
    assert not (home / "planned").exists()
    road.done(home, "run", "road.yaml", "--to", "planned")
    answer = road.done(home, "plan", "road.yaml", "--to", "planned")
    assert re.search(r"^sft +sft +kept ", answer.out, re.MULTILINE)
    assert "every stage is finished and kept" in answer.out


@pytest.mark.parametrize(
    ("recipe", "words", "expected"),
    [
        (
            RECIPE,
            ("--rank", "3"),
            "upbring plan: --rank says nothing of a recipe; give --to FOLDER",
        ),
        (RECIPE.replace("d.jsonl", "e.jsonl"), (), "r.yaml:5: "),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told_before_it_is_planned(
    home: Path, recipe: str, words: tuple[str, ...], expected: str
) -> None:
    (home / "r.yaml").write_text(recipe)
    answer = road.upbring(home, "plan", "r.yaml", *words)
    assert answer.code == 2
    assert answer.err.startswith(expected)
