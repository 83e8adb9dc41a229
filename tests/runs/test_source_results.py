import json
from pathlib import Path

import pytest

from upbring import durable
from upbring.errors import InputError
from upbring.runs.results import RESULTS, EvalResult, JudgeQuality, write_results
from upbring.runs.source_results import read_source_results, results_path, write_source_results

FIGURES = (
    EvalResult("votes", "annotators", "agreement", 0.78, 0.7, 0.85, 90, is_synthetic=True),
    EvalResult("constitution", "m", "x", None, judge=JudgeQuality("j", "fit", "of 30 gold pairs")),
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}\n")
    return path


def read(data: Path) -> tuple[tuple[EvalResult, ...], list[str]]:
    messages: list[str] = []
    return read_source_results(data, durable.sha256_file(data), log=messages.append), messages


def test_figures_travel_beside_a_file(data: Path) -> None:
    assert read(data) == ((), [])
    path = write_source_results(data, FIGURES)
    assert path == results_path(data)
    assert read(data) == (FIGURES, [])


def test_figures_of_another_content_are_left_out_and_it_is_said(data: Path) -> None:
    write_source_results(data, FIGURES)
    data.write_text("{}\n{}\n")
    found, messages = read(data)
    assert found == ()
    assert messages == [
        f"{results_path(data)}: is about another content of pairs.jsonl; its figures are left out"
    ]


@pytest.mark.parametrize("damage", ["0.78", "}", "[1]", "seal"])
def test_changed_figures_are_refused(data: Path, damage: str) -> None:
    path = write_source_results(data, FIGURES)
    text = path.read_text()
    changed = {
        "0.78": text.replace("0.78", "0.98"),
        "}": text.replace("}", "", 1),
        "[1]": "[1]",
        "seal": json.dumps({"results": [], "sha256": ""}),
    }
    path.write_text(changed[damage])
    with pytest.raises(InputError, match=r"pairs.results.json: differs from what was written"):
        read(data)


def test_figures_of_a_folder_count_if_its_manifest_lists_both(data: Path) -> None:
    write_results(data.parent, FIGURES)
    assert read(data) == ((), [])  # not sealed: the results may be about other files
    durable.seal(data.parent, [RESULTS, data.name])
    assert read(data) == (FIGURES, [])
    with (data.parent / RESULTS).open("ab") as file:
        file.write(b" ")
    with pytest.raises(durable.Damaged):
        read(data)
