import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.made import make_run
from upbring.errors import InputError
from upbring.report.build import write_report
from upbring.report.run_data import BASE


def test_both_files_are_written_and_small(pipeline_folder: Path, tmp_path: Path) -> None:
    report = write_report([pipeline_folder], tmp_path / "out")
    assert report.html_path.stat().st_size < 3_000_000
    assert json.loads(report.json_path.read_bytes())["title"] == "assistant"
    assert report.verdict.tone == "bad"
    assert report.read_errors == ()


def test_a_report_can_be_rewritten_in_place(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "run", model=BASE, steps=9)
    first = write_report([run.path], run.path).html_path.read_bytes()
    assert write_report([run.path], run.path).html_path.read_bytes() == first


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path, "ppo", "run", model=BASE, steps=40)
    report = write_report([run.path], tmp_path / "here")
    words = ["-m", "upbring", "report", str(run.path), "--to", str(tmp_path / "there")]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, *words], check=True, env=environment, capture_output=True)
    for path in (report.html_path, report.json_path):
        first, second = path.read_bytes(), (tmp_path / "there" / path.name).read_bytes()
        assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


def test_a_folder_that_cannot_be_written_is_named(pipeline_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file"):
        write_report([pipeline_folder], tmp_path / "file")
