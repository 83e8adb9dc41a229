"""What a road would take from where it stands, on a tiny model."""

import shutil
from pathlib import Path

import pytest

from tests.preferences import make_rankings
from tests.road import make_home
from tests.small import make_demonstrations, make_model
from upbring.durable import Disk
from upbring.errors import InputError
from upbring.pipeline.forecast import Prospect, free, prospects
from upbring.pipeline.runner import Road
from upbring.pipeline.spec import read_script

QUICK = "steps: 6, step_examples: 2, precision: float32, threads: 1, sample_tokens: 2, rank: 64"
ROAD = f"""
model: m
defaults: {{{QUICK}, save_every: 1, evaluate_every: 1}}
stages:
  first: {{verb: sft, data: d.jsonl}}
  second: {{verb: sft, model: first, data: d.jsonl}}
"""


OF_A_WORLD = f"""
model: m
defaults: {{{QUICK}}}
stages:
  world: {{verb: nursery, characters: 20_000}}
  sft: {{data: world/demonstrations.jsonl}}
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
        assert after.disk / before.disk < 1.2


def size(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


@pytest.mark.usefixtures("home")
def test_with_few_checkpoints_kept_the_disk_is_the_most_that_a_folder_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = [each.disk for each in prospects(road())]
    before, most = Disk.before, {"first": 0, "second": 0}

    def looking(self: Disk, operation: str, path: Path) -> None:
        before(self, operation, path)
        for name, held in most.items():
            most[name] = max(held, size(f"road/stages/{name}"))

    monkeypatch.setattr(Disk, "before", looking)
    road().take()
    assert planned == pytest.approx([*most.values()], rel=0.2)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("more", ["keep: 9", "keep: 9, tune: full"])
def test_the_disk_is_what_the_road_then_wrote(more: str) -> None:
    text = ROAD.replace("save_every: 1", f"save_every: 1, {more}")
    planned = sum(each.disk or 0 for each in prospects(road(text)))
    road(text).take()
    assert planned == pytest.approx(size("road/stages"), rel=0.2)


@pytest.mark.usefixtures("home")
def test_a_stage_that_was_stopped_goes_on_and_takes_the_steps_that_are_left() -> None:
    whole = prospects(road())[0]
    road().take()
    path = Path("road/recipe.json")
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'))
    for name in ("model", "checkpoints/step-6"):  # it was stopped before there was one
        shutil.rmtree(f"road/stages/first/{name}")
    first, second = prospects(road())
    assert (first.standing, second.standing) == ("goes on", "goes on")
    assert first.note == "after step 5 of 6"
    assert second.note == "after step 6 of 6"
    assert second.seconds == 0
    assert first.seconds is not None
    assert whole.seconds is not None
    assert first.seconds < whole.seconds / 2
    assert first.there == size("road/stages/first")


@pytest.mark.usefixtures("home")
def test_a_folder_that_was_deleted_is_to_be_made_again_and_no_other() -> None:
    road().take()
    shutil.rmtree("road/stages/first")
    assert standing(prospects(road())) == {"first": "again", "second": "kept"}


@pytest.mark.usefixtures("home")
def test_of_all_that_is_killed_and_kept_the_plan_says_what_the_road_then_does() -> None:
    road().take()
    for change in ("epochs: 2, ", "rank: 3, "):
        text = ROAD.replace("verb: sft, model: first", f"verb: sft, {change}model: first")
        planned = standing(prospects(road(text)))
        told: list[str] = []
        Road(read_script(Path("recipe.yaml")), Path("road"), {}, told.append).take()
        kept = {line.split(":")[0] for line in told if line.endswith("finished before, kept")}
        assert kept == {name for name, how in planned.items() if how == "kept"}
        assert set(standing(prospects(road(text))).values()) == {"kept"}


@pytest.mark.usefixtures("home")
def test_a_reward_that_is_still_to_be_made_is_planned_on_the_base() -> None:
    make_rankings(Path("r.jsonl"), 12)
    Path("p.jsonl").write_text('{"prompt": "What is red?"}\n' * 20)
    text = f"""
model: m
defaults: {{{QUICK}}}
stages:
  sft: {{data: d.jsonl}}
  reward: {{model: sft, data: r.jsonl}}
  rloo: {{model: sft, reward: reward, prompts: p.jsonl, samples: 2, response_tokens: 4}}
  full: {{verb: reward, model: sft, data: r.jsonl, tune: full}}
  other: {{verb: rloo, model: sft, reward: full, prompts: p.jsonl}}
"""
    found = {each.name: each for each in prospects(road(text))}
    for name in ("sft", "reward", "rloo", "full"):
        assert found[name].seconds, name
        assert found[name].memory, name
        assert not found[name].note, name
    assert (found["other"].seconds, found["other"].note) == (None, "not known before full")
    rows = "world: {verb: nursery, characters: 20_000}"
    text = text.replace("  sft: {data", f"  {rows}\n  sft: {{data").replace("r.jsonl", "world/r", 1)
    found = {each.name: each for each in prospects(road(text))}
    assert found["reward"].note == "not known before world"
    assert found["rloo"].seconds  # whatever the rows of its reward, that is an adapter


def test_a_model_that_is_still_to_be_made_has_the_shape_of_its_own_base(home: Path) -> None:
    make_model(home / "wide", hidden_size=128)
    text = ROAD.replace("first: {verb: sft,", "first: {verb: sft, model: wide,")
    narrow, wide = prospects(road())[1], prospects(road(text))[1]
    assert narrow.disk is not None
    assert wide.disk is not None
    assert wide.disk > 2 * narrow.disk


def test_a_contract_that_does_not_fit_is_told_as_the_road_tells_it(home: Path) -> None:
    (home / "other.jinja").write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
    )
    road().take()
    text = ROAD.replace("model: first", "template: other.jinja, model: first")
    with pytest.raises(InputError) as planned:
        prospects(road(text))
    with pytest.raises(InputError) as taken:
        road(text).take()
    assert str(planned.value) == str(taken.value)
    assert "the contract of the model does not fit" in str(planned.value)


@pytest.mark.usefixtures("home")
def test_rows_that_are_still_to_be_made_are_waited_for() -> None:
    world, sft = prospects(road(OF_A_WORLD))
    assert (world.standing, world.note) == ("to do", "does not train")
    assert (sft.seconds, sft.note) == (None, "not known before world")


@pytest.mark.usefixtures("home")
def test_rows_that_will_be_made_anew_are_waited_for_though_old_ones_lie_there() -> None:
    Path("road/stages/world").mkdir(parents=True)
    make_demonstrations(Path("road/stages/world/demonstrations.jsonl"), 8)
    world, sft = prospects(road(OF_A_WORLD))
    assert world.standing == "again"
    assert (sft.seconds, sft.note) == (None, "not known before world")


def test_free_space_is_that_of_the_folder_that_is_there(tmp_path: Path) -> None:
    assert free(tmp_path / "not" / "yet") > 0
