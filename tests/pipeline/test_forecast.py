"""The forecast of a pipeline on a tiny model, before, during and after its stages."""

import shutil
from pathlib import Path

import pytest

from tests.commands import make_home
from tests.preferences import make_rankings
from tests.small import make_demonstrations, make_model
from upbring.durable import Disk
from upbring.errors import InputError
from upbring.pipeline.forecast import StageForecast, forecast_stages, free_disk_bytes
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.runner import PipelineRunner

QUICK = "steps: 6, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2, rank: 64"
RECIPE = f"""
model: m
defaults: {{{QUICK}, save_steps: 1, eval_steps: 1}}
stages:
  first: {{method: sft, data: d.jsonl}}
  second: {{method: sft, model: first, data: d.jsonl}}
"""


OF_A_WORLD = f"""
model: m
defaults: {{{QUICK}}}
stages:
  world: {{method: toyworld, characters: 20_000}}
  sft: {{data: world/demonstrations.jsonl}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_home(tmp_path, monkeypatch)


def runner(text: str = RECIPE) -> PipelineRunner:
    Path("recipe.yaml").write_text(text)
    return PipelineRunner(read_recipe(Path("recipe.yaml")), Path("pipeline"), {}, lambda _: None)


def standing(found: list[StageForecast]) -> dict[str, str]:
    return {each.name: each.action for each in found}


@pytest.mark.usefixtures("home")
def test_stages_are_planned_before_any_runs_and_nothing_is_written() -> None:
    found = forecast_stages(runner())
    assert standing(found) == {"first": "to do", "second": "to do"}
    for each in found:  # the second begins from the base's shape: its own model is still to be made
        assert each.seconds is not None
        assert each.seconds > 0
        assert each.memory is not None
        assert each.memory > 0
    assert not Path("pipeline").exists()


@pytest.mark.usefixtures("home")
def test_finished_stages_are_kept_and_changed_ones_run_again_with_what_needs_them() -> None:
    planned = forecast_stages(runner())
    runner().run()
    kept = forecast_stages(runner())
    assert standing(kept) == {"first": "kept", "second": "kept"}
    assert all(each.seconds is not None and each.memory for each in kept)
    changed = RECIPE.replace("{method: sft, model: first", "{method: sft, epochs: 2, model: first")
    assert standing(forecast_stages(runner(changed))) == {"first": "kept", "second": "again"}
    changed = RECIPE.replace("{method: sft, data", "{method: sft, epochs: 2, data")
    assert standing(forecast_stages(runner(changed))) == {"first": "again", "second": "again"}
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
    planned = [each.disk for each in forecast_stages(runner())]
    before, most = Disk.before, {"first": 0, "second": 0}

    def looking(self: Disk, operation: str, path: Path) -> None:
        before(self, operation, path)
        for name, held in most.items():
            most[name] = max(held, size(f"pipeline/stages/{name}"))

    monkeypatch.setattr(Disk, "before", looking)
    runner().run()
    assert planned == pytest.approx([*most.values()], rel=0.2)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("more", ["save_total_limit: 9", "save_total_limit: 9, tune: full"])
def test_the_disk_forecast_is_what_the_pipeline_then_wrote(more: str) -> None:
    text = RECIPE.replace("save_steps: 1", f"save_steps: 1, {more}")
    planned = sum(each.disk or 0 for each in forecast_stages(runner(text)))
    runner(text).run()
    assert planned == pytest.approx(size("pipeline/stages"), rel=0.2)


@pytest.mark.usefixtures("home")
def test_a_stopped_stage_resumes_with_the_remaining_steps() -> None:
    whole = forecast_stages(runner())[0]
    runner().run()
    path = Path("pipeline/recipe.json")
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'))
    for name in ("model", "checkpoints/step-6"):  # it was stopped before there was one
        shutil.rmtree(f"pipeline/stages/first/{name}")
    first, second = forecast_stages(runner())
    assert (first.action, second.action) == ("resume", "resume")
    assert first.note == "after step 5 of 6"
    assert second.note == "after step 6 of 6"
    assert second.seconds == 0
    assert first.seconds is not None
    assert whole.seconds is not None
    assert first.seconds < whole.seconds / 2
    assert first.disk_used == size("pipeline/stages/first")


@pytest.mark.usefixtures("home")
def test_only_the_stage_of_a_deleted_folder_is_planned_again() -> None:
    runner().run()
    shutil.rmtree("pipeline/stages/first")
    assert standing(forecast_stages(runner())) == {"first": "again", "second": "kept"}


@pytest.mark.usefixtures("home")
def test_the_forecast_lists_the_actions_that_the_pipeline_then_takes() -> None:
    runner().run()
    for change in ("epochs: 2, ", "rank: 3, "):
        text = RECIPE.replace("method: sft, model: first", f"method: sft, {change}model: first")
        planned = standing(forecast_stages(runner(text)))
        lines: list[str] = []
        PipelineRunner(read_recipe(Path("recipe.yaml")), Path("pipeline"), {}, lines.append).run()
        kept = {line.split(":")[0] for line in lines if line.endswith("finished before, kept")}
        assert kept == {name for name, how in planned.items() if how == "kept"}
        assert set(standing(forecast_stages(runner(text))).values()) == {"kept"}


@pytest.mark.usefixtures("home")
def test_a_reward_model_that_does_not_exist_yet_is_planned_on_its_base() -> None:
    make_rankings(Path("r.jsonl"), 12)
    Path("p.jsonl").write_text('{"prompt": "What is red?"}\n' * 20)
    text = f"""
model: m
defaults: {{{QUICK}}}
stages:
  sft: {{data: d.jsonl}}
  reward: {{model: sft, data: r.jsonl}}
  rloo: {{model: sft, reward_model: reward, prompts: p.jsonl, num_generations: 2,
         max_response_length: 4}}
  full: {{method: reward, model: sft, data: r.jsonl, tune: full}}
  other: {{method: rloo, model: sft, reward_model: full, prompts: p.jsonl}}
"""
    found = {each.name: each for each in forecast_stages(runner(text))}
    for name in ("sft", "reward", "rloo", "full"):
        assert found[name].seconds, name
        assert found[name].memory, name
        assert not found[name].note, name
    assert (found["other"].seconds, found["other"].note) == (None, "not known before full")
    rows = "world: {method: toyworld, characters: 20_000}"
    text = text.replace("  sft: {data", f"  {rows}\n  sft: {{data").replace("r.jsonl", "world/r", 1)
    found = {each.name: each for each in forecast_stages(runner(text))}
    assert found["reward"].note == "not known before world"
    assert found["rloo"].seconds  # whatever the rows of its reward, that is an adapter


def test_a_model_that_does_not_exist_yet_has_the_shape_of_its_base(home: Path) -> None:
    make_model(home / "wide", hidden_size=128)
    text = RECIPE.replace("first: {method: sft,", "first: {method: sft, model: wide,")
    narrow, wide = forecast_stages(runner())[1], forecast_stages(runner(text))[1]
    assert narrow.disk is not None
    assert wide.disk is not None
    assert wide.disk > 2 * narrow.disk


def test_the_forecast_and_the_pipeline_report_the_same_contract_error(home: Path) -> None:
    (home / "other.jinja").write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
    )
    runner().run()
    text = RECIPE.replace("model: first", "chat_template: other.jinja, model: first")
    with pytest.raises(InputError) as planned:
        forecast_stages(runner(text))
    with pytest.raises(InputError) as taken:
        runner(text).run()
    assert str(planned.value) == str(taken.value)
    assert "the contract of the model does not match" in str(planned.value)


@pytest.mark.usefixtures("home")
def test_rows_that_do_not_exist_yet_make_the_plan_wait() -> None:
    world, sft = forecast_stages(runner(OF_A_WORLD))
    assert (world.action, world.note) == ("to do", "does not train")
    assert (sft.seconds, sft.note) == (None, "not known before world")


@pytest.mark.usefixtures("home")
def test_rows_that_will_be_rewritten_make_the_plan_wait_although_old_ones_exist() -> None:
    Path("pipeline/stages/world").mkdir(parents=True)
    make_demonstrations(Path("pipeline/stages/world/demonstrations.jsonl"), 8)
    world, sft = forecast_stages(runner(OF_A_WORLD))
    assert world.action == "again"
    assert (sft.seconds, sft.note) == (None, "not known before world")


def test_free_space_is_that_of_the_nearest_existing_folder(tmp_path: Path) -> None:
    assert free_disk_bytes(tmp_path / "not" / "yet") > 0
