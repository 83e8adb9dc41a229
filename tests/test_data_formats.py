"""The page of data formats: every format is there, and every example is read as it says."""

import re
from pathlib import Path

import pytest

from upbring.data.read import files
from upbring.data.read.detect_format import detect_format
from upbring.data.read.format_table import FORMATS, RowFormat
from upbring.data.read.formats import read_records
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt

PAGE = (Path(__file__).parents[1] / "docs/how-to/data-formats.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
EXAMPLES = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLURALS = {
    Comparison: "comparisons",
    Label: "labels",
    Demonstration: "demonstrations",
    Prompt: "prompts",
    Document: "documents",
}


def test_every_format_has_a_section() -> None:
    names = {row_format.name for row_format in FORMATS}
    assert names == set(SECTIONS) - {"Files", "Pitfalls"}


@pytest.mark.parametrize("row_format", FORMATS, ids=lambda one: one.name)
def test_the_examples_of_a_format_are_read_as_the_page_says(
    row_format: RowFormat, tmp_path: Path
) -> None:
    section = SECTIONS[row_format.name]
    kinds = [PLURALS[kind] for kind in row_format.record_types]
    assert section.lstrip().startswith(f"Read as: {', '.join(kinds)}.")
    examples = EXAMPLES.findall(section)
    assert examples
    for number, rows in enumerate(examples):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(rows, encoding="utf-8")
        for kind in row_format.record_types:
            detected = detect_format(path, kind)
            assert detected.name == row_format.name
            assert kind is Prompt or not detected.unread_fields or row_format.name == "turns"
            assert len(list(read_records(path, kind))) >= len(rows.splitlines())


def test_every_file_type_is_named() -> None:
    assert [kind for kind in files.EXTENSIONS if f"`{kind}`" not in SECTIONS["Files"]] == []


def test_the_examples_of_soft_labels_are_read_as_the_page_says(tmp_path: Path) -> None:
    (_, section) = PAGE.split("## Soft labels and weights\n")
    path = tmp_path / "soft.jsonl"
    (rows, *_) = EXAMPLES.findall(section)
    found = []
    for row in rows.splitlines():
        path.write_text(row, encoding="utf-8")
        detected = detect_format(path, Comparison)
        assert not detected.unread_fields
        (record,) = read_records(path, Comparison)
        best = record.responses[record.ranks.index(1)]
        found.append((best, record.ranks, record.probability, record.weight))
    assert found == [
        ("4.", (1, 2), 0.75, 4),
        ("Hi.", (1, 1), 0.5, None),
        ("6.", (1, 2), 0.9, None),
        ("8.", (1, 2), 0.8, None),
    ]
