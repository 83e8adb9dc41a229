import pytest

from upbring.data.read.format_table import RecordType
from upbring.data.read.guess_columns import (
    respelled_columns,
    response_like_columns,
    same_meaning_columns,
    suggest_columns,
)
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt


def test_case_and_spaces_do_not_matter_if_one_column_is_meant() -> None:
    assert respelled_columns(["Question", "Answer", "ID"]) == {
        "question": "Question",
        "answer": "Answer",
    }
    assert respelled_columns(["Prompt", "Response A", "Response B", "Winner"]) == {
        "prompt": "Prompt",
        "response_a": "Response A",
        "response_b": "Response B",
        "winner": "Winner",
    }
    assert respelled_columns(["question", "answer"]) == {}
    assert respelled_columns(["Question", "QUESTION"]) == {}


@pytest.mark.parametrize(
    ("names", "want", "columns"),
    [
        (["query", "reply"], Demonstration, {"prompt": "query", "response": "reply"}),
        (["Input", "Output", "x"], Demonstration, {"prompt": "Input", "response": "Output"}),
        (["query", "reply", "answer"], Demonstration, {}),
        (["instruction", "input", "reply"], Demonstration, {}),
        (
            ["input", "preferred", "dispreferred"],
            Comparison,
            {"prompt": "input", "chosen": "preferred", "rejected": "dispreferred"},
        ),
        (["query", "reply"], Comparison, {}),
        (
            ["query", "reply", "thumbs_up"],
            Demonstration,
            {"prompt": "query", "response": "reply", "label": "thumbs_up"},
        ),
        (["query", "reply"], Label, {}),
        (["query", "reply"], Prompt, {}),
    ],
)
def test_a_name_of_the_same_meaning_counts_if_it_is_the_only_one(
    names: list[str], want: RecordType, columns: dict[str, str]
) -> None:
    assert same_meaning_columns(names, want) == columns


def test_a_suggestion_names_columns_that_contain_the_word() -> None:
    names = ["id", "my_question", "good_answer", "bad_answer"]
    expected: dict[RecordType, str] = {
        Demonstration: "prompt=my_question,response=good_answer",
        Comparison: "prompt=my_question,chosen=good_answer,rejected=bad_answer",
        Label: "prompt=my_question,response=good_answer,label=COLUMN",
        Prompt: "prompt=my_question",
        Document: "text=COLUMN",
    }
    for want, text in expected.items():
        assert suggest_columns(names, want) == text


def test_a_column_is_like_a_response_by_its_name_or_its_texts() -> None:
    rows = [
        {"final": f"the answer to this is {k}", "kind": "a b c d e", "gold_reply": "x", "k": k}
        for k in range(4)
    ]
    assert response_like_columns(["final", "kind", "gold_reply", "k"], rows) == [
        "final",
        "gold_reply",
    ]
