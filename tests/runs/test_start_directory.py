"""Where a run's relative paths start."""

import shutil
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.runs.start_directory import find_run_directory
from upbring.settings.methods.sft import SftSettings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project in which a run was started; the current directory is another one."""
    (tmp_path / "project" / "m").mkdir(parents=True)
    (tmp_path / "project" / "d.jsonl").write_text("{}")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    Run.create(Path("runs"), "sft", name="a")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "project"


def sft_settings(data: str = "d.jsonl", model: str = "m") -> SftSettings:
    return SftSettings(model=model, data=(Path(data),))


def test_files_are_resolved_from_the_start_directory(project: Path) -> None:
    run = Run(project / "runs" / "a")
    assert find_run_directory(run, sft_settings()) == project
    assert find_run_directory(run, sft_settings(model="somebody/somewhere")) == project
    (Path.cwd() / "m").mkdir()
    (Path.cwd() / "d.jsonl").write_text("another file of that name")
    assert find_run_directory(run, sft_settings()) == project


def test_a_project_that_was_moved_whole_is_found(project: Path, tmp_path: Path) -> None:
    project.rename(tmp_path / "moved")
    assert (
        find_run_directory(Run(tmp_path / "moved" / "runs" / "a"), sft_settings())
        == tmp_path / "moved"
    )


def test_a_run_that_was_moved_alone_finds_files_here(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(project / "runs" / "a", tmp_path / "archive" / "deep" / "a")
    monkeypatch.chdir(project)
    assert find_run_directory(Run(tmp_path / "archive" / "deep" / "a"), sft_settings()) == project


def test_a_missing_file_is_reported_with_both_directories(project: Path, tmp_path: Path) -> None:
    (project / "d.jsonl").unlink()
    with pytest.raises(InputError) as found:
        find_run_directory(Run(project / "runs" / "a"), sft_settings())
    assert str(found.value) == (
        f"{project / 'runs' / 'a'}: d.jsonl is neither in {project}, where the run was started, "
        f"nor in {tmp_path / 'elsewhere'}; put it back, or resume in the directory that has it"
    )


def test_a_missing_start_directory_is_reported(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    run = Run.create(tmp_path / "runs", "sft")
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(project)
    with pytest.raises(InputError, match="where the run was started, which is gone, nor in"):
        find_run_directory(run, sft_settings())
    absolute = tmp_path / "e.jsonl"
    absolute.write_text("{}")
    assert find_run_directory(run, sft_settings(str(absolute), "somebody/somewhere")) == tmp_path
