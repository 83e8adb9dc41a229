from pathlib import Path

import pytest

from tests.checking import CHATML, checked, dialogue, encoding, found, write_rows
from upbring.data.check.check import check_data, detect_record_type
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt
from upbring.errors import InputError
from upbring.settings.commands.check import CheckSettings

ROWS: dict[RecordType, dict[str, object]] = {
    Comparison: {"instruction": "a", "output": "b", "chosen": "b", "rejected": "c"},
    Label: {"prompt": "a", "response": "b", "label": True},
    Demonstration: {"question": "a", "answer": "b"},
    Document: {"text": "a"},
    Prompt: {"Behavior": "a"},
}


@pytest.mark.parametrize("kind", ROWS)
def test_the_record_type_is_detected_from_the_rows(tmp_path: Path, kind: RecordType) -> None:
    path = write_rows(tmp_path / "a.jsonl", [ROWS[kind]])
    assert detect_record_type(path, CheckSettings(data=(path,))) is kind


def test_the_purpose_decides_the_record_type(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [ROWS[Comparison]])
    settings = CheckSettings(data=(path,), purpose="sft")
    assert detect_record_type(path, settings) is Demonstration
    assert detect_record_type(path, CheckSettings(data=(path,), purpose="prompts")) is Prompt
    other = write_rows(tmp_path / "b.jsonl", [ROWS[Demonstration]])
    settings = CheckSettings(data=(other,), purpose="reward")
    with pytest.raises(InputError, match="which gives demonstrations and prompts, not comparisons"):
        detect_record_type(other, settings)


def test_prompts_may_be_held_out_from_demonstrations(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "a.jsonl", [dialogue("a", "b")])
    held_out = write_rows(tmp_path / "b.jsonl", [{"prompt": "A"}])
    for purpose in ("auto", "sft"):
        result = checked(train, purpose=purpose, held_out=(held_out,))
        assert [survey.kind for survey in result.surveys] == [Demonstration, Prompt]
        assert found(result, "held-out")[0].level == "failure"


def test_rows_that_match_no_format_are_reported_with_advice(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"x": 1, "y": 2}])
    with pytest.raises(
        InputError, match=r"fields x, y match no format .* --format columns:prompt="
    ):
        checked(path)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: does not exist"):
        checked(tmp_path / "none.jsonl")


def test_a_broken_template_is_reported_before_rows_are_read(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [dialogue("a", "b")])
    with pytest.raises(InputError, match="chat template: line 1: "):
        checked(path, encoding("{% for %}"))


def test_documents_need_no_chat_template(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Once upon a time", encoding="utf-8")
    result = checked(path, encoding("{% for %}"))
    assert result.example is not None
    assert result.example.parts[0].runs[0].is_special  # the token that begins a text
    assert {finding.level for finding in result.findings} == {"fine"}


def test_the_example_has_median_length_and_can_be_rendered(tmp_path: Path) -> None:
    rows = [dialogue("a" * k, "b") for k in (9, 1, 5, 7, 3)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    plain = checked(path).example
    assert plain is not None
    assert plain.location == f"{path}:3"
    refusing = "{{ raise_exception('no') if messages[0].content == 'aaaaa' }}" + CHATML
    rendered = checked(path, encoding(refusing)).example
    assert rendered is not None
    assert rendered.is_rendered
    assert rendered.location in {f"{path}:4", f"{path}:5"}


def test_progress_is_logged(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"text": f"{k}"} for k in range(1000)])
    logged: list[str] = []
    check_data(CheckSettings(data=(path,)), None, log=logged.append)
    assert logged == [f"{path}: 1,000 rows", "searching for duplicates"]
