import contextlib
import os
import shutil
from pathlib import Path

import pytest

import upbring as ub
from tests.api.quick import QUICK, demonstrations
from upbring.runs.metrics import read_metrics


def test_metrics_are_dicts_of_every_step_and_evaluation(finished: ub.Run) -> None:
    rows = finished.metrics()
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if row["kind"] == "held_out"] == [0, 3, 6]
    loss = read_metrics(finished.path / "metrics.jsonl")[-1].values["nll"]
    assert rows[-1]["nll"] == loss


def test_samples_have_their_steps(finished: ub.Run) -> None:
    assert {sample["step"] for sample in finished.samples()} == {0, 3, 6}


def test_an_earlier_run_is_opened_by_its_folder(finished: ub.Run) -> None:
    again = ub.Run(finished.path)
    assert again == finished
    assert len({again, finished}) == 1
    assert (again.name, again.method, again.status) == ("sft-1", "sft", "finished")
    assert again.model_path.is_dir()
    with pytest.raises(ub.InputError, match=r"does not exist; did you mean .*sft-1\?"):
        ub.Run(finished.path.with_name("stf-1"))


def test_its_text_is_relative_only_within_the_current_directory(
    finished: ub.Run, tmp_path: Path
) -> None:
    with contextlib.chdir(finished.path.parents[1]):
        assert str(finished) == os.fspath(finished) == "runs/sft-1"
        assert repr(finished) == "Run('runs/sft-1')"
    with contextlib.chdir(tmp_path):
        assert str(finished) == str(finished.path)


def test_a_report_is_written(finished: ub.Run, tmp_path: Path) -> None:
    assert finished.report(to=tmp_path / "page").read_text().startswith("<!doctype html>")
    assert finished.report() == finished.path / "report.html"


@pytest.mark.usefixtures("home")
def test_a_run_is_the_model_of_the_next_one() -> None:
    first = ub.sft("m", demonstrations(), **QUICK)
    second = ub.sft(first, demonstrations(), **QUICK)
    settings = (second.path / "settings.yaml").read_text()
    assert "  model: runs/sft-1  # argument\n" in settings
    assert "  alpha: 32.0  # default\n" in settings


def test_a_difference_names_both_values(finished: ub.Run, tmp_path: Path) -> None:
    assert finished.diff(finished) == []
    other = tmp_path / "other"
    shutil.copytree(finished.path, other)
    text = (other / "settings.yaml").read_text().replace("batch_size: 4", "batch_size: 5")
    (other / "settings.yaml").write_text(text)
    assert finished.diff(other) == [
        {"section": "settings", "name": "batch_size", "left": "4", "right": "5"}
    ]
