import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from upbring.cli.evaluate import scorecard
from upbring.cli.main import main
from upbring.runs.results import EvalResult, read_results


def shown(found: list[EvalResult], models: list[str]) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(scorecard(found, models))
    return console.export_text()


def test_a_scorecard_has_a_row_a_number_and_an_arrow_where_a_change_is_sure() -> None:
    found = [
        EvalResult("facts", "base", "accuracy", 0.2, 0.1, 0.3, count=50),
        EvalResult("facts", "sft", "accuracy", 0.8, 0.7, 0.9, count=50),
        EvalResult("facts", "sft", "accuracy_change", 0.6, 0.5, 0.7, against="base"),
        EvalResult("refusals", "sft", "over_refusal", 0.1, 0.0, 0.2, is_synthetic=True),
        EvalResult("refusals", "sft", "over_refusal_change", 0.1, -0.1, 0.2, against="base"),
        EvalResult("forgetting", "sft", "perplexity_change", 0.1, 0.05, 0.2, against="base"),
        EvalResult("instructions", "sft", "strict/punctuation:no_comma", 1.0),
    ]
    text = shown(found, ["base", "sft"])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "facts accuracy 20.0 % (10.0 … 30.0) 80.0 % (70.0 … 90.0) ▲" in lines
    assert "refusals over_refusal* 10.0 % (0.0 … 20.0)" in lines
    assert "forgetting perplexity_change against base 10.0 % (5.0 … 20.0)" in lines
    assert "no_comma" not in text
    assert "accuracy_change" not in text


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
