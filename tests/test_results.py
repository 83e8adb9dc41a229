"""`bench/results.jsonl`: every line is a valid record, and `bench/RESULTS.md` is made from it."""

import argparse
import doctest
import importlib
import json
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "bench"
REQUIRED = {"date", "commit", "machine", "command", "question", "metric", "value", "unit"}


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("results")


@pytest.fixture
def results_page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("results_page")


def figure(results: ModuleType, **changed: object) -> object:
    fields = {"question": "generation", "metric": "speed ratio", "value": 2.0, "unit": "×"}
    return results.Figure(**{**fields, **changed})


def test_every_line_is_a_record_with_the_required_fields(results: ModuleType) -> None:
    lines = (BENCH / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not json.loads(line).keys() >= REQUIRED] == []
    assert [record.to_json() for record in results.read()] == lines


def test_no_command_names_a_folder_of_one_machine(results: ModuleType) -> None:
    words = [word for record in results.read() for word in shlex.split(record.command)]
    assert [word for word in words if word.startswith(("/", "~"))] == []


def test_the_page_is_generated_from_the_records_and_fits_120_lines(
    results: ModuleType, results_page: ModuleType
) -> None:
    page = (BENCH / "RESULTS.md").read_text(encoding="utf-8")
    assert page == results_page.page(results.read()), "out of date; run `make docs`"
    assert page.count("\n") <= 120


def test_every_table_asks_a_known_question_and_shows_something(
    results: ModuleType, results_page: ModuleType
) -> None:
    tables = results_page.SPEED_TABLES + results_page.QUALITY_TABLES
    assert {table.question for table in tables} <= set(results.QUESTIONS)
    records = results.read()
    shown = [table.question for table in tables if results_page.tables(records, [table])]
    assert {table.question for table in tables} == set(shown)
    for table in tables:
        known = {r.figure.model for r in records if r.figure.question == table.question}
        assert set(table.models) <= known, table.question


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"question": "how nice"}, "unknown question"),
        ({"unit": ""}, "needs a metric and a unit"),
        ({"value": float("nan")}, "must be finite"),
        ({"low": 2.5, "high": 3.0}, "not within"),
    ],
)
def test_a_figure_that_is_not_one_is_refused(
    results: ModuleType, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        figure(results, **changed)


def test_a_recorded_figure_is_appended_and_read_back(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "results.jsonl"
    argv = ["bench/sampling.py", "--rounds", "2", "--record", "--trl-python", "/x"]
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(results, "this_commit", lambda: "abc1234")
    first, second = figure(results, low=1.0, high=3.0, n=2), figure(results, value=4.0)
    results.record([first], threads=1, file=file)
    results.record([second], file=file)
    found = results.read(file)
    assert [record.figure for record in found] == [first, second]
    assert {record.command for record in found} == {"python bench/sampling.py --rounds 2"}
    assert found[0].machine["threads"] == 1
    assert found[0].commit == "abc1234"


def test_a_failed_append_leaves_the_file_as_it_was(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text("before\n", encoding="utf-8")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    record = results.read()[0]
    with pytest.raises(OSError, match="no space left"):
        results.append([record], file)
    assert file.read_text(encoding="utf-8") == "before\n"


def test_a_line_that_is_no_record_is_named(results: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text(json.dumps({"date": "2026-11-29"}) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.jsonl:1: .*commit"):
        results.read(file)


def test_the_newest_record_of_a_machine_is_shown(
    results: ModuleType, results_page: ModuleType
) -> None:
    shared = {"commit": "abc", "command": "python bench/sampling.py"}
    records = [
        results.Record(date=day, machine={"processor": name, "cores": 2}, figure=each, **shared)
        for day, name, each in (
            ("2026-01-01", "A", figure(results, value=1.5)),
            ("2026-01-03", "A", figure(results, value=2.5, low=2.25, high=2.75)),
            ("2026-01-02", "B", figure(results, value=3.5)),
        )
    ]
    (table,) = results_page.tables(records, [results_page.Table("generation", ("speed ratio",))])
    assert table.splitlines()[1] == "| speed ratio by model | A | B | measured by |"
    assert "| 2.5× (2.25–2.75) | 3.5× |" in table
    assert "1.5×" not in table


def test_the_flag_is_off_unless_given(results: ModuleType) -> None:
    parser = argparse.ArgumentParser()
    results.add_record_flag(parser)
    assert not parser.parse_args([]).record
    assert parser.parse_args(["--record"]).record


def test_examples_in_the_modules_are_true(results: ModuleType, results_page: ModuleType) -> None:
    for module in (results, results_page):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed
