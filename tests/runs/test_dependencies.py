"""Which run was trained from which."""

import json
from pathlib import Path

import pytest

from upbring.runs.dependencies import find_dependencies, read_inputs, trained_from
from upbring.runs.run_folder import Run, all_runs


def make(folder: Path, name: str, settings: str = "") -> Run:
    return Run.create(folder / "runs", "sft", name=name, settings=settings)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_inputs_are_relative_to_where_the_run_was_started(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "ppo:\n  model: base\n  reward_model: [runs/r=0.5, /x/y]\n  name: a\n  runs: runs\n"
    run = make(home, "a", f"{text}  seed: 3\n  held_out: null\n")
    monkeypatch.chdir("/")
    assert [(each.setting, each.value, each.path) for each in read_inputs(run)] == [
        ("model", "base", home / "base"),
        ("reward_model", "runs/r", home / "runs" / "r"),
        ("reward_model", "/x/y", Path("/x/y")),
        ("seed", "3", home / "3"),
    ]
    start = trained_from(run)
    assert start is not None
    assert start.value == "base"
    assert trained_from(make(home, "b")) is None


def test_an_input_inside_another_run_is_a_dependency(home: Path) -> None:
    make(home, "sft", "sft:\n  model: base\n")
    make(home, "reward", "reward:\n  model: runs/sft\n")
    make(
        home, "ppo", f"ppo:\n  model: {home}/runs/sft/model\n  reward_model: [./runs/reward=0.5]\n"
    )
    found = find_dependencies(all_runs(home / "runs"))
    assert [(d.run.path.name, d.setting, d.parent.path.name) for d in found] == [
        ("reward", "model", "sft"),
        ("ppo", "model", "sft"),
        ("ppo", "reward_model", "reward"),
    ]
    assert not any(each.is_replaced for each in found)
    assert found[1].path == home / "runs" / "sft" / "model"


def test_a_parent_that_started_later_replaced_the_one_that_was_read(home: Path) -> None:
    make(home, "a", "sft:\n  model: runs/b\n")
    make(home, "b", "sft:\n  model: runs/a\n")
    found = find_dependencies(all_runs(home / "runs"))
    assert [(d.run.path.name, d.is_replaced) for d in found] == [("a", True), ("b", False)]


def test_a_moved_folder_keeps_its_dependencies(home: Path) -> None:
    make(home, "a")
    make(home, "b", "sft:\n  model: runs/a\n")
    moved = home / "moved"
    moved.mkdir()
    (home / "runs").rename(moved / "runs")
    (found,) = find_dependencies(all_runs(moved / "runs"))
    assert found.parent.path == moved / "runs" / "a"
    assert json.loads((moved / "runs" / "a" / "run.json").read_text())["directory"] == "../.."
