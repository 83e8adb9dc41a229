from pathlib import Path

import pytest

from tests.votes.importing.imported import FIXTURES, best_first, edited, read_fixture
from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.votes.importing.read_export import read_export


def test_records_of_the_server_are_read_with_ties_and_statuses() -> None:
    name, found = read_fixture("argilla.json")
    assert name == "argilla"
    first, second = found.votes
    assert first.prompt == (Message("user", "2 + 2?\nIn words & <b>bold</b> &amp; “ü”"),)
    assert best_first(first) == [{"Four,\nI think."}, {"5 &lt;"}, {"4."}]
    assert best_first(second) == [{"Hi.", "Hello."}, {"What?"}]
    assert first.annotator == "00000000-0000-0000-0000-000000000001"
    assert found.left_out == {
        "records without a ranking": 1,
        "responses that were not submitted": 2,
    }


def test_an_export_of_the_sdk_is_refused_as_it_has_no_ranks() -> None:
    # The annotator's order was reply-2, reply-3, reply-1, and two more were not submitted.
    assert '["reply-1", "reply-2", "reply-3"]' in (FIXTURES / "argilla-sdk.json").read_text()
    with pytest.raises(InputError, match=r":2: responses\.ranking: has options without ranks"):
        read_fixture("argilla-sdk.json")


def test_older_records_have_ties_and_statuses() -> None:
    _, found = read_fixture("argilla-1.jsonl")
    assert [best_first(vote) for vote in found.votes] == [[{"4."}, {"5."}], [{"4.", "5."}]]
    assert [vote.annotator for vote in found.votes] == ["d1", "d2"]
    assert found.left_out == {"responses that were not submitted": 1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('{"value": "reply-1", "rank": 3}', '{"value": "1", "rank": 3}', "ranks '1', which is no"),
        ('"rank": 3}', '"rank": null}', "has a rank that is no whole number; save the items"),
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
