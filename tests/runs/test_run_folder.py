"""A run folder is found, named, locked and summarized from its files alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import CountingDisk
from upbring import durable
from upbring.durable import Disk
from upbring.errors import InputError, ResumeError
from upbring.runs.contract import Contract
from upbring.runs.data_file import DataFile
from upbring.runs.run_folder import Run, all_runs


def test_runs_are_numbered_by_method(tmp_path: Path) -> None:
    runs = tmp_path / "my runs"
    (runs / "sft-2").mkdir(parents=True)
    names = [Run.create(runs, method).path.name for method in ("sft", "sft", "pretrain")]
    assert names == ["sft-3", "sft-4", "pretrain-1"]


def test_processes_that_start_at_the_same_time_get_different_folders(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from upbring.runs.run_folder import Run; "
        "[print(Run.create(Path(sys.argv[1]), 'sft').path.name) for _ in range(20)]"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # communicate closes it
        for _ in range(2)
    ]
    names = [name for process in processes for name in process.communicate()[0].split()]
    assert sorted(names) == sorted(f"sft-{number}" for number in range(1, 41))


def test_a_finished_run_is_not_advised_to_be_resumed(tmp_path: Path) -> None:
    Run.create(tmp_path, "sft", name="mine").mark_finished()
    with pytest.raises(InputError) as caught:
        Run.create(tmp_path, "sft", name="mine")
    assert str(caught.value) == (
        f"{tmp_path / 'mine'}: already exists, a run that is finished; choose another --name or "
        "--output-dir"
    )


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    Run.create(tmp_path, "sft", name="mine")
    expected = (
        r"mine: already exists, a run that is interrupted; choose another --name or --output-dir, "
        r"or resume the run with `upbring resume .*mine`"
    )
    with pytest.raises(InputError, match=expected):
        Run.create(tmp_path, "sft", name="mine")


def test_a_kill_at_any_write_leaves_the_name_free_or_a_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Ends the block as a kill does, but leaves the temporary folder to this test."""

    whole = CountingDisk()
    monkeypatch.setattr(Disk, "before", whole.before)
    Run.create(tmp_path / "whole", "sft", name="mine", settings="sft: {}\n")
    for last in range(len(whole.operations)):
        disk = CountingDisk()

        def kill(
            self: Disk, operation: str, path: Path, *, disk: Disk = disk, last: int = last
        ) -> None:
            del self
            disk.before(operation, path)
            if len(disk.operations) - 1 == last:
                raise Killed

        monkeypatch.setattr(Disk, "before", kill)
        runs = tmp_path / str(last)
        with pytest.raises(Killed):
            Run.create(runs, "sft", name="mine", settings="sft: {}\n")
        monkeypatch.setattr(Disk, "before", CountingDisk().before)
        if (runs / "mine").exists():
            assert Run.open(runs / "mine").settings_file.read_text() == "sft: {}\n"
        else:
            Run.create(runs, "sft", name="mine", settings="sft: {}\n")
        assert [run.path.name for run in all_runs(runs)] == ["mine"]


def test_an_empty_folder_and_a_temporary_one_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / ".tmp-mine-1-00000000").mkdir()
    (tmp_path / ".tmp-mine-1-00000000" / "run.json").write_text("{}")
    Run.create(tmp_path, "sft", name="mine")
    assert [run.path.name for run in all_runs(tmp_path)] == ["mine"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", ".hidden", "a\n", "x" * 101, "a."])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a valid folder name; use letters"):
        Run.create(tmp_path, "sft", name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["naïve [1] 試", "x" * 100])
def test_unusual_names_are_valid(tmp_path: Path, name: str) -> None:
    assert Run.open(Run.create(tmp_path, "sft", name=name).path).path.name == name


def test_opening_a_path_without_a_run_suggests_another(tmp_path: Path) -> None:
    Run.create(tmp_path, "sft")
    with pytest.raises(InputError, match=r"sft1: does not exist; did you mean .*sft-1\?"):
        Run.open(tmp_path / "sft1")
    (tmp_path / "zebra").mkdir()
    with pytest.raises(
        InputError, match="zebra: is not a run folder; list the runs with `upbring runs`"
    ):
        Run.open(tmp_path / "zebra")


def test_the_status_follows_lock_and_finish_time(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "sft")
    with run.lock():
        assert run.status() == "running"
    assert run.status() == "interrupted"
    run.set_num_steps(30)
    run.mark_finished()
    assert run.status() == "finished"
    assert run.read_metadata()["steps"] == 30


def test_the_newest_unfinished_run_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"no runs, so there is nothing to resume; list"):
        Run.newest_interrupted(tmp_path / "nowhere")
    first, second, third = (Run.create(tmp_path, method) for method in ("sft", "pretrain", "sft"))
    third.mark_finished()
    assert Run.newest_interrupted(tmp_path) == second
    with second.lock():
        assert Run.newest_interrupted(tmp_path) == first
    first.mark_finished()
    second.mark_finished()
    with pytest.raises(ResumeError, match="all runs are finished or running"):
        Run.newest_interrupted(tmp_path)
    assert all_runs(tmp_path) == [first, second, third]


def test_a_second_process_on_a_run_is_refused(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "sft")
    expected = rf"sft-1: process {os.getpid()} on .* is using this folder; wait until it is done"
    with run.lock(), pytest.raises(InputError, match=expected), run.lock():
        pass


def test_leftovers_of_dead_processes_are_deleted_when_a_run_is_locked(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "sft")
    left = run.checkpoints / f".tmp-step-7-{os.getpid()}-0123abcd"
    left.mkdir(parents=True)
    with run.lock():
        assert list(run.checkpoints.iterdir()) == []


def test_the_files_of_a_run_are_written_and_read(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "sft")
    run.write_settings("sft:\n  seed: 0  # default\n")
    run.write_environment(extra={"device": "cpu"})
    run.write_data([DataFile(f"{Path.home()}/a.jsonl", "ab" * 32, 3, "chat")])
    contract = Contract("seed", "ab", "cd", None, (), None, 2, "base", "full")
    run.write_contract(contract)
    run.write_card("# sft-1\n")
    assert run.read_contract() == contract
    assert json.loads(run.environment_file.read_text())["device"] == "cpu"
    (row,) = json.loads(run.data_file.read_text())["files"]
    assert row["file"].endswith("/a.jsonl")
    assert (row["rows"], row["format"], row["purpose"]) == (3, "chat", "train")
    assert {path.name for path in run.path.iterdir()} == {
        "run.json", "settings.yaml", "environment.json", "data.json", "contract.json", "README.md",
    }  # fmt: skip
    assert (run.model.name, run.checkpoints.name, run.samples_file.name) == (
        "model", "checkpoints", "samples.jsonl",
    )  # fmt: skip


def test_a_run_with_damaged_metadata_is_named(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "sft")
    for text in ("", "[]", "{}"):
        run.metadata_file.write_text(text)
        with pytest.raises(InputError, match=r"run\.json: is not a valid run\.json; restore it"):
            run.status()


def test_a_place_that_cannot_hold_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(Exception, match="runs: ") as caught:
        Run.create(tmp_path / "runs", "sft")
    assert getattr(caught.value, "exit_code", None) in {2, 3}
    durable.write_text(tmp_path / "after", "nothing else is touched")


def test_the_start_directory_of_a_run_survives_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, home = tmp_path / "home" / "project", tmp_path / "home"
    project.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(project)
    inside = Run.create(Path("runs"), "sft")
    assert inside.read_metadata()["directory"] == "../.."
    assert inside.start_directory() == project
    outside = Run.create(tmp_path / "runs", "sft")
    assert outside.read_metadata()["directory"] == "~/project"  # no user name is recorded
    assert outside.start_directory() == project
    inside.set_num_steps(3)
    assert inside.read_metadata()["directory"] == "../.."
    (tmp_path / "strange").mkdir()
    monkeypatch.chdir(tmp_path / "strange")
    strange = Run.create(home / "runs", "sft")
    assert strange.read_metadata()["directory"] == str(tmp_path / "strange")
    assert strange.start_directory() == tmp_path / "strange"


@pytest.mark.parametrize("written_format", [1, 3, "x", None])
def test_a_folder_of_another_format_is_rejected_in_one_line(
    tmp_path: Path, written_format: object
) -> None:
    run = Run.create(tmp_path / "runs", "sft")
    facts = json.loads(run.metadata_file.read_text(encoding="utf-8"))
    run.metadata_file.write_text(json.dumps(facts | {"format": written_format}), encoding="utf-8")
    with pytest.raises(InputError, match="this version reads format 2; use the version") as caught:
        run.read_metadata()
    assert "\n" not in str(caught.value)
