"""What a road would take from where it stands, on a tiny model."""

import shutil
from pathlib import Path

import pytest

from tests.road import make_home
from upbring.recipe.prospect import Prospect, free, prospects
from upbring.recipe.road import Road
from upbring.recipe.script import read_script

QUICK = "steps: 6, step_examples: 2, precision: float32, threads: 1, sample_tokens: 2, rank: 64"
ROAD = f"""
model: m
defaults: {{{QUICK}, save_every: 1, evaluate_every: 1}}
stages:
  first: {{verb: sft, data: d.jsonl}}
  second: {{verb: sft, model: first, data: d.jsonl}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_home(tmp_path, monkeypatch)


def road(text: str = ROAD) -> Road:
    Path("recipe.yaml").write_text(text)
    return Road(read_script(Path("recipe.yaml")), Path("road"), {}, lambda _: None)


def standing(found: list[Prospect]) -> dict[str, str]:
    return {each.name: each.standing for each in found}


@pytest.mark.usefixtures("home")
def test_stages_are_planned_before_any_is_begun_and_nothing_is_written() -> None:
    found = prospects(road())
    assert standing(found) == {"first": "to do", "second": "to do"}
    for each in found:  # the second begins from the base's shape: its own model is still to be made
        assert each.seconds is not None
        assert each.seconds > 0
        assert each.memory is not None
        assert each.memory > 0
    assert not Path("road").exists()


@pytest.mark.usefixtures("home")
def test_what_was_finished_is_kept_and_what_changed_is_done_again_with_what_needs_it() -> None:
    planned = prospects(road())
    road().take()
    kept = prospects(road())
    assert standing(kept) == {"first": "kept", "second": "kept"}
    assert all(each.seconds is not None and each.memory for each in kept)
    changed = ROAD.replace("{verb: sft, model: first", "{verb: sft, epochs: 2, model: first")
    assert standing(prospects(road(changed))) == {"first": "kept", "second": "again"}
    changed = ROAD.replace("{verb: sft, data", "{verb: sft, epochs: 2, data")
    assert standing(prospects(road(changed))) == {"first": "again", "second": "again"}
    # The most that a folder holds, against what it holds: the best checkpoint may be a newest one.
    for before, after in zip(planned, kept, strict=True):
        assert before.disk is not None
        assert after.disk is not None
        assert 0.6 < after.disk / before.disk < 1.2


@pytest.mark.usefixtures("home")
def test_a_stage_that_was_stopped_goes_on() -> None:
    road().take()
    path = Path("road/recipe.json")
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'))
    shutil.rmtree("road/stages/first/model")  # it was stopped before there was one
    found = prospects(road())
    assert standing(found) == {"first": "goes on", "second": "goes on"}
    assert all(each.seconds is not None for each in found)


@pytest.mark.usefixtures("home")
def test_rows_that_are_still_to_be_made_are_waited_for() -> None:
    text = f"""
model: m
defaults: {{{QUICK}}}
stages:
  world: {{verb: nursery, characters: 20_000}}
  sft: {{data: world/demonstrations.jsonl}}
"""
    world, sft = prospects(road(text))
    assert (world.standing, world.note) == ("to do", "does not train")
    assert (sft.seconds, sft.note) == (None, "known when world is there")


def test_free_space_is_that_of_the_folder_that_is_there(tmp_path: Path) -> None:
    assert free(tmp_path / "not" / "yet") > 0
