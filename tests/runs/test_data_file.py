import json
from pathlib import Path

import pytest

from upbring.runs.data_file import DataFile, data_file_to_json, read_data_file
from upbring.runs.results import EvalResult, JudgeQuality


def test_a_data_file_is_read_as_it_was_written_without_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    judge = JudgeQuality(f"{tmp_path}/judge", "fit", "é")
    results = (EvalResult("constitution", "m", "words", 4.0, judge=judge),)
    file = DataFile(f"{tmp_path}/a.jsonl", "s", 3, "chat", "held_out", ("1 dropped",), results)
    text = json.dumps(data_file_to_json(file))
    assert str(tmp_path) not in text
    found = read_data_file(json.loads(text))
    assert (found.file, found.purpose, found.notes) == ("~/a.jsonl", "held_out", ("1 dropped",))
    assert found.results[0].judge == JudgeQuality("~/judge", "fit", "é")


def test_data_files_of_a_run_without_figures_are_read() -> None:
    assert read_data_file({"file": "a", "sha256": "s", "rows": 3}) == DataFile("a", "s", 3, "?")
