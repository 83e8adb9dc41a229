from pathlib import Path

import pytest

from upbring.runs.nested_runs import name_in, neighboring_runs, nested_runs
from upbring.runs.run_folder import Run

FOLDERS = ("runs", "runs/assistant", "runs/assistant/stages", "runs/assistant/stages/sft")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run, and a pipeline with a run and with a stage that has none."""
    Run.create(tmp_path / "runs", "sft", name="first")
    Run.create(tmp_path / "runs" / "assistant" / "stages", "sft", name="sft")
    (tmp_path / "runs" / "assistant" / "stages" / "world").mkdir()
    Run.create(tmp_path / "runs", "dpo", name="last")
    (tmp_path / "runs" / "notes.txt").touch()
    return tmp_path / "runs"


def test_runs_of_pipelines_are_found_oldest_first(runs: Path) -> None:
    found = [name_in(runs, run) for run in nested_runs(runs)]
    assert found == ["first", "assistant/stages/sft", "last"]
    for folder in (runs / "assistant", runs / "assistant" / "stages"):
        assert [run.path.name for run in nested_runs(folder)] == ["sft"]
    assert nested_runs(runs / "nowhere") == []


def test_a_run_is_not_searched_for_stages(runs: Path) -> None:
    Run.create(runs / "first" / "stages", "sft", name="inner")
    assert "inner" not in [run.path.name for run in nested_runs(runs)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_neighbors_are_those_beside_the_pipeline_too(
    folder: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.parent)
    names = [run.path.name for run in neighboring_runs(Path(folder))]
    assert sorted(names) == ["first", "last", "sft"]
