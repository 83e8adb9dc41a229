"""A pipeline on a tiny model: finished stages are kept, changed ones run again."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import small
from tests.commands import make_home
from upbring.durable import Disk
from upbring.errors import InputError, Interrupted, ResourceError
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.runner import VERSION_SERIES, PipelineRunner, StageFunction, WaitingError
from upbring.runs.run_folder import Run
from upbring.settings.resolve import Resolved
from upbring.train.loop import Trainer

QUICK = "steps: 2, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2"
RECIPE = f"""
model: m
defaults: {{{QUICK}}}
stages:
  first: {{method: sft, data: d.jsonl}}
  second: {{method: sft, model: first, data: d.jsonl, mix: d.jsonl=0.2}}
  aside: {{method: sft, data: d.jsonl, rank: 2}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_home(tmp_path, monkeypatch)


def run_recipe(
    text: str, *, works: dict[str, StageFunction] | None = None
) -> tuple[PipelineRunner, list[str]]:
    Path("recipe.yaml").write_text(text)
    messages: list[str] = []
    runner = PipelineRunner(
        read_recipe(Path("recipe.yaml")), Path("pipeline"), works or {}, messages.append
    )
    with contextlib.suppress(WaitingError):
        runner.run()
    return runner, messages


def started_at(name: str) -> object:
    return Run.open(Path("pipeline/stages") / name).read_metadata()["started_at"]


def states() -> dict[str, str]:
    stages = json.loads(Path("pipeline/recipe.json").read_text())["stages"]
    return {each["name"]: each["status"] for each in stages}


@pytest.mark.usefixtures("home")
def test_finished_stages_are_kept_and_changed_ones_run_again_with_what_needs_them() -> None:
    run_recipe(RECIPE)
    assert states() == dict.fromkeys(("first", "second", "aside"), "finished")
    before = {name: started_at(name) for name in states()}
    _, messages = run_recipe(RECIPE)
    assert [line for line in messages if "kept" in line] == [
        f"{name}: finished before, kept" for name in before
    ]
    assert {name: started_at(name) for name in states()} == before
    _, messages = run_recipe(RECIPE.replace("data: d.jsonl}", "data: d.jsonl, epochs: 2}", 1))
    assert (
        "first: the recipe or an input changed; old output kept as first.before-1; running again"
        in messages
    )
    assert started_at("first") != before["first"]
    assert started_at("second") != before["second"]  # it needs the first
    assert started_at("aside") == before["aside"]
    assert Run.open(Path("pipeline/stages/first.before-1")).status() == "finished"
    assert (Path("pipeline") / "recipe.yaml").read_text() == Path("recipe.yaml").read_text()


def test_changed_weights_of_the_same_size_run_the_stage_again(home: Path) -> None:
    small.make_model(home / "other")
    text = RECIPE.replace(
        "{method: sft, data: d.jsonl, rank: 2}", "{method: sft, model: other, data: d.jsonl}"
    )
    run_recipe(text)
    before = {name: started_at(name) for name in states()}
    small.make_model(home / "other", seed=1)
    run_recipe(text)
    assert [name for name in before if started_at(name) != before[name]] == ["aside"]
    small.make_model(home / "m", seed=1)
    run_recipe(text)
    assert [name for name in before if started_at(name) != before[name]] == [*before]


@pytest.mark.usefixtures("home")
def test_output_of_another_program_series_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_recipe(RECIPE)
    before = started_at("aside")
    monkeypatch.setattr("upbring.pipeline.runner.VERSION_SERIES", "99.0")
    _, messages = run_recipe(RECIPE)
    assert (
        f"aside: made by upbring {VERSION_SERIES}, this is 99.0; "
        "old output kept as aside.before-1; running again" in messages
    )
    assert started_at("aside") != before
    _, messages = run_recipe(RECIPE)
    assert "aside: finished before, kept" in messages


@pytest.mark.usefixtures("home")
def test_a_stage_trains_on_the_output_of_the_stage_before_it() -> None:
    run_recipe(RECIPE)
    history = Run.open(Path("pipeline/stages/second")).read_contract().history
    assert [stage.method for stage in history] == ["sft", "sft"]
    alone = Run.open(Path("pipeline/stages/aside")).read_contract().history
    assert [stage.method for stage in alone] == ["sft"]


@pytest.mark.usefixtures("home")
def test_changed_data_and_a_missing_folder_run_the_stage_again() -> None:
    run_recipe(RECIPE)
    before = started_at("aside")
    small.make_demonstrations(Path("d.jsonl"), 14)
    run_recipe(RECIPE)
    assert started_at("aside") != before


@pytest.mark.usefixtures("home")
def test_an_interrupted_pipeline_resumes_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    take_step: Callable[..., dict[str, float]] = Trainer._train_step

    def stopping(self: Trainer, *given: Any) -> dict[str, float]:
        values = take_step(self, *given)
        raise Interrupted("stopped here", signal_number=15)
        return values

    monkeypatch.setattr(Trainer, "_train_step", stopping)
    with pytest.raises(Interrupted, match="stopped in stage 'first'; resume with `upbring run"):
        run_recipe(RECIPE)
    assert states()["first"] == "interrupted"
    monkeypatch.setattr(Trainer, "_train_step", take_step)
    first = started_at("first")
    run_recipe(RECIPE)
    assert started_at("first") == first
    assert states() == dict.fromkeys(("first", "second", "aside"), "finished")


@pytest.mark.usefixtures("home")
def test_a_stage_that_waits_for_annotators_stops_the_pipeline_until_they_are_done() -> None:
    def waits(resolved: Resolved[Any], folder: Path, say: Callable[[str], None]) -> None:
        del resolved, say
        if not (folder / "d.jsonl").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            raise WaitingError("rank them")

    text = f"""
model: m
defaults: {{{QUICK}}}
stages:
  ask: {{method: collect, prompts: d.jsonl}}
  sft: {{data: ask/d.jsonl}}
"""
    run_recipe(text, works={"collect": waits})
    assert states() == {"ask": "waiting", "sft": "to do"}
    small.make_demonstrations(Path("pipeline/stages/ask/d.jsonl"), 8)
    run_recipe(text, works={"collect": waits})
    assert states() == {"ask": "finished", "sft": "finished"}


class KilledError(BaseException):
    """Ends a pipeline as `kill -9` would: no handler of upbring catches it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> bool:
    """Run the pipeline and end it as soon as it has saved its state `moment` times."""
    write, left = PipelineRunner.save_state, [moment]

    def writing(self: PipelineRunner, *, status: str) -> None:
        if not left[0]:
            raise KilledError
        left[0] -= 1
        write(self, status=status)

    with monkeypatch.context() as patch:
        patch.setattr(PipelineRunner, "save_state", writing)
        try:
            run_recipe(RECIPE)
        except KilledError:
            return True
    return False


@pytest.mark.usefixtures("home")
def test_wherever_a_pipeline_is_killed_no_finished_stage_runs_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for moment in (0, 1, 2, 2, 3, 3):  # before and after each of the three stages
        before = {
            each.name: Run.open(each).read_metadata() for each in Path().glob("pipeline/stages/*")
        }
        assert killed_at(monkeypatch, moment)
        for name, facts in before.items():
            if facts["finished_at"] is not None:
                assert started_at(name) == facts["started_at"]
    run_recipe(RECIPE)
    before = {name: Run.open(Path("pipeline/stages") / name).read_metadata() for name in states()}
    for moment in range(3):  # when each is written down as kept
        assert killed_at(monkeypatch, moment)
    run_recipe(RECIPE)
    assert {
        name: Run.open(Path("pipeline/stages") / name).read_metadata() for name in states()
    } == before
    assert not [*Path().glob("pipeline/stages/*.before-*")]


@pytest.mark.usefixtures("home")
def test_a_stage_that_was_killed_before_its_run_began_does_not_block_the_pipeline() -> None:
    run_recipe(RECIPE)
    record = Path("pipeline/recipe.json")
    record.write_text(record.read_text().replace('"finished"', '"running"', 2))
    Path("pipeline/stages/first/run.json").unlink()
    before = started_at("aside")
    _, messages = run_recipe(RECIPE)
    assert (
        "first: its output is incomplete; old output kept as first.before-1; running again"
        in messages
    )
    assert states() == dict.fromkeys(("first", "second", "aside"), "finished")
    assert started_at("aside") == before


@pytest.mark.usefixtures("home")
def test_a_deleted_folder_is_reported_and_only_its_stage_runs_again() -> None:
    run_recipe(RECIPE)
    before = {name: started_at(name) for name in states()}
    shutil.rmtree("pipeline/stages/first")
    _, messages = run_recipe(RECIPE)
    assert "first: pipeline/stages/first is missing; running again" in messages
    assert [name for name in before if started_at(name) != before[name]] == ["first"]
    shutil.rmtree("pipeline/stages/aside/model")
    _, messages = run_recipe(RECIPE)
    assert (
        "aside: its output is incomplete; old output kept as aside.before-1; running again"
        in messages
    )
    assert Run.open(Path("pipeline/stages/aside")).model.is_dir()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "place", ["aside/checkpoints/", "aside/.tmp-run.json", "pipeline/.tmp-recipe.json"]
)
def test_a_full_disk_is_reported_and_finished_stages_are_kept(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    run_recipe(RECIPE.replace("  aside", "  # aside"))
    before = {name: started_at(name) for name in states()}

    def full(self: Disk, operation: str, path: Path) -> None:
        del self
        if operation == "write" and place in path.as_posix():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "before", full)
        with pytest.raises(ResourceError, match="No space left on device") as error:
            run_recipe(RECIPE)
    assert error.value.exit_code == 3
    assert "free some space" in str(error.value)
    run_recipe(RECIPE)
    assert states() == dict.fromkeys(("first", "second", "aside"), "finished")
    assert {name: started_at(name) for name in before} == before


@pytest.mark.usefixtures("home")
def test_an_incomplete_record_is_reported() -> None:
    run_recipe(RECIPE)
    Path("pipeline/recipe.json").write_text("{")
    with pytest.raises(InputError, match=r"recipe\.json: invalid or damaged record; remove it"):
        run_recipe(RECIPE)


def test_waiting_for_people_is_not_a_failure() -> None:
    assert WaitingError("x").exit_code == 0
