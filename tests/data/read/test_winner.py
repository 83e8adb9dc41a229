from pathlib import Path

import pytest

from tests.checking import write_rows
from upbring.data.read.format_readers import ParsedExample
from upbring.data.read.formats import read_records
from upbring.data.read.records import Comparison, Message
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.winner import (
    find_pair,
    is_winner_row,
    read_winner,
    read_winner_prompt,
)
from upbring.errors import InputError

Q = (Message("user", "Q"),)


def row(pair: tuple[str, str], field: str, value: object, prompt: str = "prompt") -> object:
    return read_winner({prompt: "Q", pair[0]: "first", pair[1]: "second", field: value})


@pytest.mark.parametrize(
    ("pair", "field", "value", "better"),
    [
        (("response_a", "response_b"), "winner", "a", "first"),
        (("response_a", "response_b"), "winner", "model_b", "second"),
        (("answer_a", "answer_b"), "preferred", "answer_b", "second"),
        (("output_1", "output_2"), "label", 1, "first"),
        (("output_1", "output_2"), "label", "2", "second"),
        (("completion_0", "completion_1"), "choice", 0, "first"),
        (("completion_0", "completion_1"), "choice", 1, "second"),
    ],
)
def test_the_named_response_is_the_better_one(
    pair: tuple[str, str], field: str, value: object, better: str
) -> None:
    worse = "second" if better == "first" else "first"
    assert row(pair, field, value) == [ParsedExample(Q, (better, worse), (1.0, 2.0))]


def test_the_prompt_may_be_called_input() -> None:
    found = row(("output_1", "output_2"), "label", 2, prompt="input")
    assert found == [ParsedExample(Q, ("second", "first"), (1.0, 2.0))]


@pytest.mark.parametrize("value", ["tie", "Tie (bothbad)", "both_bad", "both bad", "neither"])
def test_a_tie_is_not_used(value: str) -> None:
    with pytest.raises(UnusedError, match="neither response is preferred"):
        row(("response_a", "response_b"), "winner", value)


@pytest.mark.parametrize("value", [0, 1, True, None, "gpt-4", "llama-2-b", "data", "", 3])
def test_a_winner_with_several_meanings_is_an_error(value: object) -> None:
    with pytest.raises(RowError, match="the responses are response_a and response_b; write a or b"):
        row(("response_a", "response_b"), "winner", value)


def test_numbers_for_two_letters_are_read_if_the_columns_say_so(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"q{i}", "response_a": f"a{i}", "response_b": f"b{i}", "winner": i % 2}
        for i in range(3)
    ]
    path = write_rows(tmp_path / "a.jsonl", rows)
    logged: list[str] = []
    skipping = read_records(path, Comparison, skip_bad=tmp_path / "bad.jsonl", log=logged.append)
    with pytest.raises(InputError, match="none of its 3 rows can be used"):
        list(skipping)
    message = logged[-1]
    assert "is the format wrong? 2 have the same problem: winner: is 0" in message
    columns = message.partition("use --format ")[2]
    assert columns == "columns:prompt=…,response_0=response_a,response_1=response_b,winner=winner"
    found = read_records(path, Comparison, format=columns.replace("…", "prompt"))
    best = [each.responses[each.ranks.index(1)] for each in found]
    assert best == ["a0", "b1", "a2"]


def test_whole_dialogues_may_be_compared() -> None:
    talk = [{"role": "user", "content": "Q"}]
    fields = {
        "conversation_a": [*talk, {"role": "assistant", "content": "first"}],
        "conversation_b": [*talk, {"role": "assistant", "content": "second"}],
        "winner": "model_b",
    }
    assert is_winner_row(fields)
    assert read_winner(fields) == [ParsedExample(Q, ("second", "first"), (1.0, 2.0))]


@pytest.mark.parametrize(
    "names",
    [
        ("response_a", "answer_b"),
        ("response_a", "response_a"),
        ("response_1", "response_b"),
        ("response_a", "response_b", "answer_a", "answer_b"),
        ("model_a", "model_b"),
    ],
)
def test_fields_that_are_no_single_pair_are_not_taken_for_one(names: tuple[str, ...]) -> None:
    assert find_pair(names) is None


def test_a_row_with_two_verdicts_or_with_chosen_is_another_format() -> None:
    fields = {"prompt": "", "response_a": "", "response_b": "", "winner": "a"}
    assert is_winner_row(fields)
    assert not is_winner_row({**fields, "label": 1})
    assert not is_winner_row({**fields, "chosen": ""})
    assert not is_winner_row({"response_a": "", "response_b": "", "winner": "a"})


def test_the_prompt_of_a_tie_can_be_read() -> None:
    fields = {"input": "Q", "output_1": "first", "output_2": "second", "label": "tie"}
    assert read_winner_prompt(fields) == [ParsedExample(Q)]
    named = {"question": "Q", "answer_a": "first", "answer_b": "second", "winner": "tie"}
    assert read_winner_prompt(named) == [ParsedExample(Q)]
