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


def test_both_files_are_written_and_small(road: Path, tmp_path: Path) -> None:
    made = write_report([road], tmp_path / "out")
    assert made.html_path.stat().st_size < 3_000_000
    assert json.loads(made.json_path.read_bytes())["title"] == "assistant"
    assert made.verdict.tone == "bad"
    assert made.read_errors == ()


def test_a_report_can_be_made_again_where_it_lies(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "run", model=BASE, steps=9)
    first = write_report([run.path], run.path).html_path.read_bytes()
    assert write_report([run.path], run.path).html_path.read_bytes() == first


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path, "ppo", "run", model=BASE, steps=40)
    made = write_report([run.path], tmp_path / "here")
    words = ["-m", "upbring", "report", str(run.path), "--to", str(tmp_path / "there")]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, *words], check=True, env=environment, capture_output=True)
    for path in (made.html_path, made.json_path):
        ours, theirs = path.read_bytes(), (tmp_path / "there" / path.name).read_bytes()
        assert hashlib.sha256(ours).digest() == hashlib.sha256(theirs).digest()


def test_a_place_that_cannot_be_written_is_named(road: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file"):
        write_report([road], tmp_path / "file")
