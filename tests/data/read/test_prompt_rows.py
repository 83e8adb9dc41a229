"""Rows of prompt files by key: all columns, of every file type, from the stored copy."""

import json
from pathlib import Path

import pytest

from upbring.data.read.prompt_rows import PromptRows, make_prompt_row
from upbring.data.read.records import Message
from upbring.errors import InputError


def rows_of(path: Path, *, row_format: str = "auto") -> PromptRows:
    cache = path.parent / "cache"
    cache.mkdir(exist_ok=True)
    return PromptRows((path,), lambda: cache, row_format)


def test_a_row_has_all_its_columns_and_its_messages(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    first = {"question": "2 + 2?", "answer": "<<2+2=4>>4\n#### 4", "level": 1, "x": None}
    text = "ü\t\n\U0001f600?"
    second = {
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": text}],
        "tags": ["a\tb", {"b": 1.5}],
    }
    file.write_text(f"{json.dumps(first)}\n\n{json.dumps({**first, 'question': '3?'})}\n")
    rows = rows_of(file)
    assert rows[f"{file}:1"].columns == first
    assert list(rows[f"{file}:1"].columns) == list(first)
    assert rows[f"{file}:1"].prompt == "2 + 2?"
    assert rows[f"{file}:3"].prompt == "3?"
    other = tmp_path / "q.jsonl"
    other.write_text(json.dumps(second))
    row = rows_of(other)[f"{other}:1"]
    assert row.messages == (Message("system", "S"), Message("user", text))
    assert row.columns == second


@pytest.mark.parametrize(
    ("name", "text", "line", "expected"),
    [
        ("p.csv", 'prompt,answer\nHi?,4\n"a\nb",5\n', 3, {"prompt": "a\nb", "answer": "5"}),
        ("p.json", '[{"prompt": "a"},\n {"prompt": "b", "n": 2}]', 2, {"prompt": "b", "n": 2}),
        ("p.txt", "first\n\nsecond\n", 3, {"text": "second"}),
    ],
)
def test_every_file_type_has_rows(
    tmp_path: Path, name: str, text: str, line: int, expected: dict[str, object]
) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert rows_of(file)[f"{file}:{line}"].columns == expected


def test_renamed_columns_keep_their_own_names(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"problem": "Why?", "solution": "42"}\n')
    row = rows_of(file, row_format="columns:prompt=problem")[f"{file}:1"]
    assert (row.prompt, row.columns) == ("Why?", {"problem": "Why?", "solution": "42"})


def test_rows_are_stored_once_and_again_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "a"}\nnot a row\n{"prompt": "c"}\n')
    assert rows_of(file)[f"{file}:3"].prompt == "c"  # encoding reports the malformed row
    (stored,) = (tmp_path / "cache").glob("*/rows.tsv")
    written = stored.stat().st_mtime_ns
    assert rows_of(file)[f"{file}:1"].prompt == "a"
    assert stored.stat().st_mtime_ns == written
    stored.write_bytes(b"x" * stored.stat().st_size)
    assert rows_of(file)[f"{file}:1"].prompt == "a"
    file.write_text('{"prompt": "b"}\n')
    assert rows_of(file)[f"{file}:1"].prompt == "b"


def test_columns_are_a_new_copy_each_time() -> None:
    row = make_prompt_row("p:1", {"a": [1]}, (Message("user", "?"),))
    row.columns["a"].append(2)
    assert row.columns == {"a": [1]}


def test_a_row_with_several_prompts_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    instances = [{"input": "x", "output": "y"}, {"input": "z", "output": "w"}]
    file.write_text(json.dumps({"instruction": "Do.", "instances": instances}))
    with pytest.raises(InputError, match=r"p.jsonl:1: gives 2 prompts; write one prompt per row"):
        _ = rows_of(file)[f"{file}:1"]
