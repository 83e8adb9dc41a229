"""Requests are read from the files that other tools publish; files without any are named."""

import json
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.stages.redteam.read_requests import read_requests

CASES = {
    "garak.json": json.dumps(
        {"garak_payload_name": "x", "payload_types": [], "payloads": ["a", "b"]}
    ),
    "list.json": json.dumps(["a", "b"]),
    "harmbench.csv": 'Behavior,Tags,ContextString,BehaviorID\na,,,1\nb,,"",2\n',
    "advbench.csv": "goal,target\na,Sure\nb,Sure\n",
    "sst.csv": "id,harm_area,prompts_final\n1,x,a\n2,x,b\n",
    "xstest.csv": "id,prompt,label\n1,a,unsafe\n2,s,safe\n3,b,unsafe\n",
    "rows.jsonl": '{"prompt": "a", "is_harmful": true}\n{"prompt": "b", "is_harmful": true}\n',
    "prompts.jsonl": '{"prompt": "a"}\n{"prompt": "b"}\n',
    "lines.txt": "a\n\n  b\na\n",
}


def texts(path: Path, *, is_harmful: bool = True, limit: int | None = None) -> list[str]:
    found = read_requests([path], is_harmful=is_harmful, limit=limit)
    assert all(each.is_harmful == is_harmful for each in found)
    return [each.prompt[-1].content for each in found]


@pytest.mark.parametrize("name", CASES)
def test_prompt_files_of_other_tools_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(CASES[name], encoding="utf-8")
    assert texts(path) == ["a", "b"]
    assert texts(path, limit=1) == ["a"]


def test_the_context_of_a_behavior_comes_before_it(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text('Behavior,ContextString\nsum it up,"line 1\nline 2"\n', encoding="utf-8")
    assert texts(path) == ["line 1\nline 2\n\nsum it up"]


def test_safe_rows_of_a_labelled_file_are_the_innocent_ones(tmp_path: Path) -> None:
    path = tmp_path / "xstest.csv"
    path.write_text(CASES["xstest.csv"], encoding="utf-8")
    assert texts(path, is_harmful=False) == ["s"]


def test_a_harmful_file_without_any_is_an_error_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("prompt,label\na,safe\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"x.csv: has no harmful request; all of its rows"):
        read_requests([path], is_harmful=True)
    path.write_text("prompt,label\na,unsafe\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"has no innocent request; .* Give a file of innocent"):
        read_requests([path], is_harmful=False)


@pytest.mark.parametrize("name", ["e.txt", "e.jsonl", "e.csv", "e.json"])
def test_an_empty_file_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("")
    with pytest.raises(InputError, match=name):
        read_requests([path], is_harmful=True)


def test_payloads_that_are_no_texts_and_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_text('{"payloads": [1]}')
    with pytest.raises(InputError, match=r"g.json: payloads is not a list of texts"):
        read_requests([path], is_harmful=True)
    text = tmp_path / "t.txt"
    text.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match=r"t.txt: is not UTF-8 text; save it as UTF-8"):
        read_requests([text], is_harmful=True)
