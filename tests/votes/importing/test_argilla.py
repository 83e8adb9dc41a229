from pathlib import Path

import pytest

from tests.votes.importing.imported import best_first, edited, read_fixture
from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.votes.importing.read_export import read_export


def test_records_of_argilla_2_are_read() -> None:
    name, found = read_fixture("argilla.json")
    assert name == "argilla"
    first, second = found.votes
    assert first.prompt == (Message("user", "2 + 2?"),)
    assert best_first(first) == [{"4."}, {"Four, I think."}, {"5."}]
    assert best_first(second) == [{"Four, I think."}, {"4."}, {"5."}]
    assert first.annotator == "6a1c0b6e-0c6f-4d0e-8f70-6f5d1f0a9b11"
    assert found.left_out == {"records without a ranking": 1}


def test_older_records_have_ties_and_statuses() -> None:
    _, found = read_fixture("argilla-1.jsonl")
    assert [best_first(vote) for vote in found.votes] == [[{"4."}, {"5."}], [{"4.", "5."}]]
    assert [vote.annotator for vote in found.votes] == ["d1", "d2"]
    assert found.left_out == {"responses that were not submitted": 1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["reply-1", "reply-2", "reply-3"]', '["1", "2", "3"]', "ranks '1', which is no field"),
        ('["reply-1", "reply-2", "reply-3"]', '["reply-1", "reply-1"]', "names a response twice"),
        ('"reply-1": "4."', '"reply-1": 4', "fields.reply-1"),
        ('"prompt": "2', '"topic": "2', "fields: has no prompt among topic, reply-1"),
    ],
)
def test_a_malformed_record_is_reported_by_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = edited(tmp_path, "argilla.json", old, new)
    with pytest.raises(InputError) as caught:
        read_export(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)
