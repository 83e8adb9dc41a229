import json
from pathlib import Path

import pytest

from upbring.data.read.detect_format import detect_format, join_names
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt
from upbring.errors import InputError


def _file(tmp_path: Path, *rows: object, name: str = "a.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _error(path: Path, want: RecordType, format_: str = "auto") -> str:
    with pytest.raises(InputError) as caught:
        detect_format(path, want, format=format_)
    return str(caught.value)


BOTH = {"instruction": "a", "output": "b", "chosen": "c", "rejected": "d", "category": "e"}


@pytest.mark.parametrize(
    ("want", "expected"),
    [
        (Demonstration, "format alpaca; ignored: category, chosen, rejected"),
        (Comparison, "format alpaca-preference; ignored: category, output"),
        (Label, "format alpaca-preference; ignored: category, output"),
    ],
)
def test_the_wanted_record_type_decides_between_matching_formats(
    tmp_path: Path, want: RecordType, expected: str
) -> None:
    assert str(detect_format(_file(tmp_path, BOTH), want)) == expected


def test_the_format_of_most_rows_wins(tmp_path: Path) -> None:
    rows = [{"text": "a"}, *[{"messages": []} for _ in range(3)]]
    assert detect_format(_file(tmp_path, *rows), Demonstration).name == "messages"


def test_bad_rows_at_the_beginning_do_not_hide_the_format(tmp_path: Path) -> None:
    path = _file(tmp_path, *[7] * 100, {"prompt": "a", "response": "b"})
    assert detect_format(path, Demonstration).name == "prompt-response"


def test_a_file_of_only_bad_rows_is_reported_with_its_rows(tmp_path: Path) -> None:
    error = _error(_file(tmp_path, *[7] * 30), Demonstration)
    assert error.count("is 7, not an object") == 1
    assert "(also 29 more rows: lines 2, 3, 4, …)" in error
    assert "30 of 30 rows are malformed; fix" in error


@pytest.mark.parametrize(
    ("row", "want", "parts"),
    [
        (
            {"prompt": "a", "chosen": "b", "rejected": "c"},
            Demonstration,
            [
                "format preference (prompt, chosen, rejected)",
                "`upbring reward` or `upbring dpo`",
                "to train on the chosen responses give --format preference",
            ],
        ),
        (
            {"prompt": "a", "response": "b", "label": True},
            Demonstration,
            ["labels", "use `upbring kto`", "--format labels"],
        ),
        ({"text": "a"}, Demonstration, ["gives documents, not prompt-response pairs", "pretrain"]),
        ({"prompt": "a", "response": "b"}, Comparison, ["not preference pairs; use `upbring sft`"]),
        ({"prompt": "a", "response": "b"}, Document, ["not documents"]),
        (
            {"QUESTION": "a", "LONG_ANSWER": "b", "id": 3},
            Demonstration,
            [
                "its fields QUESTION, LONG_ANSWER, id match no format for prompt-response pairs",
                "prompt-response (prompt, response)",
                "--format columns:prompt=QUESTION,response=LONG_ANSWER",
            ],
        ),
        ({"x": 1}, Comparison, ["--format columns:prompt=COLUMN,chosen=COLUMN,rejected=COLUMN"]),
        ({"prompt": "a", "x": 1}, Demonstration, ["columns:prompt=prompt,response=COLUMN"]),
        ({"data": [{"prompt": "a"}]}, Demonstration, ["its rows are inside 'data'"]),
        ({"prompt_a": "a", "prompt_b": "b"}, Prompt, ["--format columns:prompt=prompt_a"]),
    ],
)
def test_an_unsuitable_file_is_reported_with_what_to_do(
    tmp_path: Path, row: object, want: RecordType, parts: list[str]
) -> None:
    error = _error(_file(tmp_path, row), want)
    for part in parts:
        assert part in error


def test_the_only_column_that_can_be_the_prompt_is_used_and_named(tmp_path: Path) -> None:
    path = _file(tmp_path, {"id": 1, "prompts_final": "a"})
    assert detect_format(path, Prompt).name == "prompts (prompt=prompts_final)"


def test_a_format_may_be_forced(tmp_path: Path) -> None:
    path = _file(tmp_path, {"prompt": "a", "chosen": "b", "rejected": "c"})
    assert detect_format(path, Demonstration, format="preference").name == "preference"
    path = _file(tmp_path, {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "c"})
    assert detect_format(path, Comparison, format="preference").name == "preference-implicit"
    assert "gives documents, not preference pairs" in _error(path, Comparison, "text")


def test_a_format_that_does_not_exist_is_reported_with_the_nearest(tmp_path: Path) -> None:
    error = _error(_file(tmp_path, {"text": "a"}), Document, "alpacca")
    assert error.startswith("--format alpacca: unknown format; did you mean alpaca? use auto")


def test_columns_may_be_named(tmp_path: Path) -> None:
    path = _file(tmp_path, {"Q": "a", "A": "b", "note": "c"})
    found = detect_format(path, Demonstration, format="columns: prompt=Q, response=A")
    assert found.name == "prompt-response (prompt=Q, response=A)"
    assert found.rename_fields({"Q": "a", "A": "b", "note": "c"}) == {
        "prompt": "a",
        "response": "b",
    }


@pytest.mark.parametrize(
    ("format_", "message"),
    [
        ("columns:promt=Q,response=A", "'promt=Q' is not FIELD=COLUMN; did you mean prompt?"),
        ("columns:prompt", "'prompt' is not FIELD=COLUMN; FIELD is one of annotator"),
        ("columns:", "'' is not FIELD=COLUMN"),
        ("columns:prompt=Question,response=A", "has no column 'Question'; did you mean"),
        ("columns:prompt=Z,response=A", "has no column 'Z'; its columns are question, A"),
    ],
)
def test_columns_that_do_not_exist_are_reported(tmp_path: Path, format_: str, message: str) -> None:
    path = _file(tmp_path, {"question": "a", "A": "b"})
    assert message in _error(path, Demonstration, format_)


def test_plain_text_gives_only_documents_and_prompts(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello\n")
    assert detect_format(path, Document).name == "text"
    assert detect_format(path, Prompt).name == "text (one prompt per line)"
    assert "but prompt-response pairs are needed; use `upbring pretrain`, or write" in _error(
        path, Demonstration
    )
    assert "is plain text; use auto or text" in _error(path, Document, "alpaca")


def test_many_fields_are_not_all_listed() -> None:
    assert join_names(f"f{k}" for k in range(15)).endswith("f11 and 3 more")
    assert join_names(["a\x1b[31m", "x" * 500]) == "'a\\x1b[31m', '" + "x" * 56 + "…'"


@pytest.mark.parametrize(
    ("row", "want", "name"),
    [
        (
            {"Question": "a", "Answer": "b"},
            Demonstration,
            "prompt-response (question=Question, answer=Answer)",
        ),
        (
            {"query": "a", "reply": "b"},
            Demonstration,
            "prompt-response (prompt=query, response=reply)",
        ),
        (
            {"input": "a", "output": "b"},
            Demonstration,
            "prompt-response (prompt=input, response=output)",
        ),
        (
            {"Instruction": "a", "Input": "", "Output": "b"},
            Demonstration,
            "alpaca (instruction=Instruction, input=Input, output=Output)",
        ),
        (
            {"prompt": "a", "response_a": "b", "response_b": "c", "winner": "a"},
            Comparison,
            "winner",
        ),
        (
            {"Prompt": "a", "Chosen": "b", "Rejected": "c"},
            Comparison,
            "preference (prompt=Prompt, chosen=Chosen, rejected=Rejected)",
        ),
    ],
)
def test_names_with_only_one_meaning_are_read(
    tmp_path: Path, row: object, want: RecordType, name: str
) -> None:
    detected = detect_format(_file(tmp_path, row), want)
    assert detected.name == name
    assert detected.is_guessed == ("=" in name)


def test_a_guess_does_not_drop_the_label_of_a_bad_response(tmp_path: Path) -> None:
    for row in (
        {"Question": "a", "Answer": "b", "Label": 0},
        {"query": "a", "reply": "b", "label": False},
    ):
        path = _file(tmp_path, row)
        assert "use `upbring kto`" in _error(path, Demonstration)
        assert detect_format(path, Label).name.startswith("labels (")


@pytest.mark.parametrize(
    ("row", "want", "format_", "unread"),
    [
        ({"prompt": "a", "question": "b", "answer": "c"}, Demonstration, "auto", ["question"]),
        ({"prompt": "a", "response": "b", "history": "c"}, Demonstration, "auto", ["history"]),
        ({"prompt": "a", "response": "b", "tools": [1]}, Demonstration, "auto", ["tools"]),
        ({"text": "a", "system": "b"}, Document, "auto", ["system"]),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": 2, "score_rejected": 1},
            Comparison,
            "auto",
            [],
        ),
        (
            {"input": "a", "output_1": "b", "output_2": "c", "label": 2},
            Comparison,
            "columns:prompt=input,chosen=output_1,rejected=output_2",
            ["label"],
        ),
        (
            {"messages": [{"role": "user", "content": "a", "thinking": "b"}]},
            Prompt,
            "auto",
            ["messages[].thinking"],
        ),
    ],
)
def test_every_filled_field_that_is_not_read_is_named(
    tmp_path: Path, row: object, want: RecordType, format_: str, unread: list[str]
) -> None:
    assert list(detect_format(_file(tmp_path, row), want, format=format_).unread_fields) == unread
