import json
from pathlib import Path

import pytest

from upbring.cli.main import main
from upbring.runs.results import read_results


def test_the_command_measures_and_prints_where_the_results_are(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "q.jsonl"
    data.write_text(json.dumps({"prompt": "What is red?", "answer": "apple"}) + "\n")
    folder = tmp_path / "out"
    words = ["evaluate", str(model_folder), "--suite", "facts", "--data", str(data)]
    words += ["--to", str(folder), "--max-tokens", "4", "--threads", "1"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "accuracy" in out
    assert str(folder / "results.json") in out.replace("\n", "")
    assert {n.suite for n in read_results(folder)} == {"facts"}


def test_an_unknown_suite_is_reported_with_the_nearest_name(
    model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(model_folder), "--suite", "fakts"]) == 2
    assert "suite: 'fakts' is not a suite; did you mean facts?" in capsys.readouterr().err
