import time
from pathlib import Path

import pytest

from tests.checking import CHATML, checked, dialogue, encoding, found, write_rows
from upbring.data.check.check import RECORD_TYPES, check_data, detect_record_type
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt
from upbring.errors import InputError
from upbring.settings.commands.check import CheckSettings
from upbring.stages.registry import methods

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
    with pytest.raises(
        InputError, match="which gives prompt-response pairs or prompts, not preference pairs"
    ):
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


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"Question": "a", "Answer": "b"}, Demonstration),
        ({"query": "a", "reply": "b"}, Demonstration),
        ({"input": "a", "output": "b"}, Demonstration),
        ({"prompt": "a", "response_a": "b", "response_b": "c", "winner": "model_a"}, Comparison),
        ({"prompt": "a", "kind": "b", "id": 3}, Prompt),
    ],
)
def test_names_with_one_meaning_give_their_kind(
    tmp_path: Path, row: dict[str, object], kind: RecordType
) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row])
    assert detect_record_type(path, CheckSettings(data=(path,))) is kind


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "a", "answer_x": "b", "winner": "x"},
            "answer_x, winner may be responses.*--format columns:prompt=prompt,response=answer_x",
        ),
        (
            {"question": "a", "gold_reply": "b"},
            "columns:prompt=question,response=gold_reply, or read only the prompts: --purpose",
        ),
        (
            {"prompt": "a", "final": "a longer text of several words"},
            "final may be responses.*--format columns:prompt=prompt,response=COLUMN",
        ),
    ],
)
def test_rows_with_possible_responses_are_not_taken_for_prompts(
    tmp_path: Path, row: dict[str, object], message: str
) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row])
    with pytest.raises(InputError, match=message):
        detect_record_type(path, CheckSettings(data=(path,)))
    settings = CheckSettings(data=(path,), purpose="prompts")
    assert detect_record_type(path, settings) is Prompt


@pytest.mark.parametrize(
    ("purpose", "kind"),
    [("dpo", Comparison), ("simpo", Comparison), ("kto", Comparison), ("grpo", Prompt)],
)
def test_every_method_is_a_purpose(tmp_path: Path, purpose: str, kind: RecordType) -> None:
    path = write_rows(tmp_path / "a.jsonl", [ROWS[Comparison]])
    assert detect_record_type(path, CheckSettings(data=(path,), purpose=purpose)) is kind
    methods_with_data = {*RECORD_TYPES} - {"prompts"}
    assert methods_with_data == {*methods()}


def test_a_folder_is_checked_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for name in "ab":
        write_rows(tmp_path / "rows" / f"{name}.jsonl", [ROWS[Demonstration]])
    assert [s.path.name for s in checked(tmp_path / "rows").surveys] == ["a.jsonl", "b.jsonl"]


def test_a_long_dialogue_is_checked_in_linear_time(tmp_path: Path) -> None:
    rows = [dialogue(*[f"turn {k}" for k in range(4000)])]  # quadratic: minutes
    path = write_rows(tmp_path / "a.jsonl", rows)
    started = time.process_time()
    result = checked(path, encoding(max_length=200_000))
    assert time.process_time() - started < 30
    assert not any(finding.level == "failure" for finding in result.findings)
