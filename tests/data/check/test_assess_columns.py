from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.checking import Row, checked, dialogue, found, write_rows
from upbring.data.check.findings import CheckFinding


def columns(tmp_path: Path, rows: Sequence[Row], **settings: object) -> list[CheckFinding]:
    return found(checked(write_rows(tmp_path / "a.jsonl", rows), None, **settings), "columns")


def test_a_label_that_inverts_rows_is_a_warning_with_its_values(tmp_path: Path) -> None:
    rows = [
        {"input": f"{k}", "output_1": "b", "output_2": "c", "label": 1 + k % 2} for k in range(5)
    ]
    named = "columns:prompt=input,chosen=output_1,rejected=output_2"
    (finding,) = columns(tmp_path, rows, format=named)
    assert finding.level == "warning"
    assert finding.message.endswith(
        "label of " + str(tmp_path / "a.jsonl") + " is not read, though it is 1 (3), 2 (2)"
    )
    assert "learned the wrong way round" in finding.todo
    assert columns(tmp_path, rows) == []  # read as the format winner


@pytest.mark.parametrize("name", ["winner", "preferred", "label", "is_correct"])
def test_a_verdict_on_demonstrations_is_a_warning(tmp_path: Path, name: str) -> None:
    rows = [{"prompt": "a", "response": "b", name: "no"}]
    (finding,) = columns(tmp_path, rows)
    assert finding.level == "warning"
    assert finding.message.startswith(f"{name} of ")
    assert "remove those rows" in finding.todo


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"context": "c"}, "context"),
        ({"reasoning": "c"}, "reasoning"),
        ({"tools": [{"name": "f"}]}, "tools"),
        ({"images": ["a.png"]}, "images"),
        ({"history": [["a", "b"]]}, "history"),
    ],
)
def test_content_that_is_not_learned_is_a_warning(
    tmp_path: Path, extra: dict[str, object], name: str
) -> None:
    (finding,) = columns(tmp_path, [{"prompt": "a", "response": "b", **extra, "id": 7}])
    assert finding.level == "warning"
    assert finding.message.endswith(f"and not learned: {name}")


def test_the_reasoning_of_a_turn_is_a_warning(tmp_path: Path) -> None:
    row = dialogue("a", "b")
    row["messages"] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "c"},
    ]
    (finding,) = columns(tmp_path, [row])
    assert finding.message.endswith("not learned: messages[].reasoning_content")


def test_the_context_of_an_instruction_can_be_named(tmp_path: Path) -> None:
    (finding,) = columns(tmp_path, [{"instruction": "a", "context": "c", "response": "b"}])
    assert "--format columns:instruction=instruction,input=context,response=…" in finding.todo


def test_empty_and_describing_columns_are_no_finding(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "response": "b", "context": "", "source": "x", "category": "y"}]
    assert columns(tmp_path, rows) == []


def test_guessed_columns_are_a_note(tmp_path: Path) -> None:
    (finding,) = columns(tmp_path, [{"query": "a", "reply": "b"}])
    assert finding.level == "note"
    assert finding.message.endswith("are read as prompt=query,response=reply")


def test_responses_are_no_finding_if_only_prompts_are_wanted(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "response": "b", "label": True}]
    for purpose in ("prompts", "ppo"):
        assert columns(tmp_path, rows, purpose=purpose) == []
