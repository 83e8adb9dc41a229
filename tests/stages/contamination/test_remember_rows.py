"""Rows that a run was trained on are recognized when they are scored or evaluated."""

import json
from pathlib import Path

import pytest

from tests import small
from tests.commands import done
from upbring.runs.results import read_results
from upbring.runs.run_folder import Run
from upbring.runs.trained_rows import read_trained_rows, row_hash

QUICK = ("--steps", "1", "--batch-size", "2", "--threads", "1", "--dtype", "float32")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    small.make_model(tmp_path / "m")
    pairs = [{"prompt": f"Which is {i}?", "chosen": "yes", "rejected": "no"} for i in range(30)]
    write(tmp_path / "pairs.jsonl", pairs)
    write(tmp_path / "more.jsonl", [{**pairs[0], "prompt": f"Other {i}?"} for i in range(25)])
    return tmp_path


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_scoring_reports_rows_that_the_model_was_trained_on(home: Path) -> None:
    train = (
        "reward",
        "--model",
        "m",
        "--data",
        "pairs.jsonl",
        "--held-out-share",
        "0.2",
        "--name",
        "rm",
    )
    done(home, *train, *QUICK)
    known = read_trained_rows(home / "runs" / "rm" / "model")
    assert known is not None
    assert len(known) == 24  # six of thirty are held out
    output = done(home, "score", "pairs.jsonl", "more.jsonl", "--model", "runs/rm").err
    assert "24 of 55 rows have a prompt that the model was trained on" in output
    assert "without them, " in output
    assert "trained on" not in done(home, "score", "more.jsonl", "--model", "runs/rm").err


def test_a_model_trained_further_keeps_its_rows_and_an_evaluation_reports_them(home: Path) -> None:
    small.make_demonstrations(home / "d.jsonl", 8)
    done(home, "sft", "--model", "m", "--data", "d.jsonl", "--name", "first", *QUICK)
    first = read_trained_rows(Run(home / "runs" / "first").model)
    done(home, "dpo", "--model", "runs/first", "--data", "pairs.jsonl", "--name", "second", *QUICK)
    second = read_trained_rows(Run(home / "runs" / "second").model)
    assert first is not None
    assert second is not None
    assert first < second
    assert row_hash("which is 1?") in second - first or row_hash("which is 2?") in second - first
    write(home / "q.jsonl", [{"prompt": f"Which is {i}?", "answer": "yes"} for i in range(30)])
    words = ("evaluate", "m", "runs/first", "runs/second", "--data", "q.jsonl", "--to", "out")
    output = done(home, *words, "--max-tokens", "2", "--threads", "1")
    assert "prompts were in its training data; these numbers are no evidence" in output.err
    shares = {n.model: n.value for n in read_results(home / "out") if n.suite == "contamination"}
    assert shares.keys() == {"runs/first", "runs/second"}  # the base has no record of its rows
    assert shares["runs/first"] == 0
    assert shares["runs/second"]


def test_dropped_rows_are_in_the_data_file_the_card_and_the_report(home: Path) -> None:
    rows = [
        {"prompt": f"What is {i}?", "response": "It is " + "long " * (200 if i % 3 == 0 else 1)}
        for i in range(12)
    ]
    write(home / "long.jsonl", rows)
    train = ("sft", "--model", "m", "--data", "long.jsonl", "--max-length", "64", "--name", "cut")
    output = done(home, *train, *QUICK).err
    assert "4 rows are longer than max_length 64" in output
    run = home / "runs" / "cut"
    (file,) = json.loads((run / "data.json").read_text())["files"]
    assert "4 rows are longer than max_length 64" in file["notes"][0]
    assert "4 rows are longer than max_length 64" in (run / "README.md").read_text()
    done(home, "report", "runs/cut")
    assert "4 rows are longer than max_length 64" in (run / "report.html").read_text()


def test_cards_show_the_quality_of_the_reward_model(home: Path) -> None:
    train = ("reward", "--model", "m", "--data", "pairs.jsonl", "--held-out-share", "0.9")
    done(home, *train, "--name", "rm", *QUICK)
    (judge, *_) = {r.judge for r in read_results(home / "runs" / "rm") if r.judge is not None}
    assert judge.verdict == "not fit"  # one step teaches nothing
    row = f"{judge.verdict}; {judge.detail}"
    assert f"| quality of rm as a judge | {row} |" in (home / "runs/rm/README.md").read_text()
    ppo = ("ppo", "pairs.jsonl", "--model", "m", "--reward-model", "runs/rm")
    done(home, *ppo, "--max-response-length", "4", "--eval-prompts", "2", "--name", "p", *QUICK)
    card = (home / "runs/p/README.md").read_text()
    assert f"| quality of runs/rm as a judge | {row} |" in card
