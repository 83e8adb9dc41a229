from pathlib import Path

import pytest

from upbring.cli.preflight.find_run import find_run_to_resume
from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.settings.commands.resume import ResumeSettings


def test_a_run_is_found_by_path_by_name_or_as_the_newest_interrupted_one(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "sft", name="begun")
    Run.create(tmp_path, "sft", name="done").mark_finished()
    for name in (str(run.path), "begun", None):
        assert find_run_to_resume(ResumeSettings(run=name, runs=tmp_path)) == run


def test_a_finished_run_is_refused(tmp_path: Path) -> None:
    Run.create(tmp_path, "sft", name="done").mark_finished()
    with pytest.raises(InputError, match=r"done: is finished; its model is in .*done/model"):
        find_run_to_resume(ResumeSettings(run="done", runs=tmp_path))
