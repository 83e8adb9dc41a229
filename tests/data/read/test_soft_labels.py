from pathlib import Path

import pytest

from tests.checking import write_rows
from upbring.data.read.format_readers import ParsedExample, read_preference, read_ranked
from upbring.data.read.formats import read_records
from upbring.data.read.records import Comparison, Label, Message
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.soft_labels import with_soft_labels

Q = (Message("user", "Q"),)
PAIR = {"prompt": "Q", "chosen": "a", "rejected": "b"}
read_pair, read_list = with_soft_labels(read_preference), with_soft_labels(read_ranked)


@pytest.mark.parametrize("field", ["probability", "soft_label"])
def test_the_more_probable_response_is_the_better_one(field: str) -> None:
    (likely,) = read_pair({**PAIR, field: 0.75, "margin": 2})
    assert likely == ParsedExample(Q, ("a", "b"), (1, 2), margin=2, probability=0.75)
    (unlikely,) = read_pair({**PAIR, field: "0.25", "margin": 2})
    assert unlikely == ParsedExample(Q, ("a", "b"), (2, 1), margin=-2, probability=0.75)
    (tie,) = read_pair({**PAIR, field: 0.5, "margin": 2})
    assert tie == ParsedExample(Q, ("a", "b"), (1, 1), probability=0.5)


def test_the_probability_of_a_ranking_is_that_of_its_better_rank() -> None:
    (example,) = read_list({"prompt": "Q", "responses": ["a", "b"], "scores": [1, 3], "weight": 5})
    assert (example.ranks, example.probability, example.weight) == ((2, 1), None, 5)
    row = {"prompt": "Q", "responses": ["a", "b"], "scores": [1, 3], "probability": 0.1}
    (example,) = read_list(row)
    assert (example.ranks, example.probability) == ((1, 2), 0.9)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_cell_is_a_plain_pair_of_weight_1(empty: str | None) -> None:
    assert read_pair({**PAIR, "probability": empty, "weight": empty}) == read_preference(PAIR)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": 75}, "probability: is 75; write a number from 0 to 1, such as 0.75"),
        ({"soft_label": -0.1}, "soft_label: is -0.1; write a number from 0 to 1"),
        ({"probability": "high"}, "probability: is 'high'; write a number"),
        ({"probability": True}, "probability: is True; write a number"),
        ({"probability": 0.7, "soft_label": 0.7}, "soft_label: is given beside probability; keep"),
        ({"weight": -1}, "weight: is -1; write a number above 0, or 0 to leave the row out"),
        ({"weight": float("nan")}, "weight: is nan; write a number"),
    ],
)
def test_a_number_out_of_range_is_reported(change: dict[str, object], message: str) -> None:
    with pytest.raises(RowError) as caught:
        read_pair({**PAIR, **change})
    assert str(caught.value).startswith(message)


def test_a_probability_needs_two_responses() -> None:
    row = {"prompt": "Q", "responses": ["a", "b", "c"], "ranks": [1, 2, 3], "probability": 0.7}
    with pytest.raises(RowError, match="needs two responses, and the row has 3; write a row for"):
        read_list(row)


def test_a_row_of_weight_0_is_not_used() -> None:
    with pytest.raises(UnusedError, match="weight is 0"):
        read_pair({**PAIR, "weight": 0})


def test_records_carry_the_probability_and_the_weight(tmp_path: Path) -> None:
    rows = [{**PAIR, "probability": 0.2, "weight": 3}, {**PAIR, "weight": 0}, PAIR]
    reading = read_records(write_rows(tmp_path / "a.jsonl", rows), Comparison)
    found = [(one.ranks, one.probability, one.weight) for one in reading]
    assert found == [((2, 1), 0.8, 3), ((1, 2), None, None)]
    assert reading.unused == {"their weight is 0": 1}
    assert not reading.field_use.unread


def test_single_labels_follow_the_more_probable_response(tmp_path: Path) -> None:
    rows = [{**PAIR, "probability": 0.2}, {**PAIR, "probability": 0.5}]
    reading = read_records(write_rows(tmp_path / "a.jsonl", rows), Label)
    assert [(one.response, one.is_good) for one in reading] == [("b", True), ("a", False)]
    assert reading.unused == {"neither response is preferred": 1}
