from pathlib import Path

import pytest

from tests.votes.importing.imported import best_first, edited, read_fixture
from upbring.errors import InputError
from upbring.votes.importing.read_export import read_export


def test_preferences_of_people_are_read_and_those_of_principles_are_left_out() -> None:
    name, found = read_fixture("annotated-pairs.json")
    assert name == "annotated-pairs"
    first, second = found.votes
    assert best_first(first) == [{"4."}, {"5."}]
    assert best_first(second) == [{"Hi."}, {"What?"}]
    assert first.annotator == "Human (d36860d4)"
    assert [each.model for each in first.responses] == ["alpha-7b", "beta-13b"]
    assert found.left_out == {"preferences of principles": 2}


@pytest.mark.parametrize(
    ("old", "new", "start", "message"),
    [
        ('"2.0"', '"1.0"', ": metadata", "metadata.version: is '1.0'; convert the file to version"),
        ('{"pref": "a"}', '{"pref": "text_a"}', ":21: ", "pref: is 'text_a'; use a, b or tie"),
        ('{"text": "What?"}', '"What?"', ":21: ", "comparisons[1].response_b: is 'What?'"),
        ('"prompt": "2 + 2?"', '"prompt": ""', ":14: ", "comparisons[0].prompt"),
    ],
)
def test_a_malformed_comparison_is_reported_by_line(
    tmp_path: Path, old: str, new: str, start: str, message: str
) -> None:
    path = edited(tmp_path, "annotated-pairs.json", old, new)
    with pytest.raises(InputError) as caught:
        read_export(path)
    assert str(caught.value).startswith(f"{path}{start}")
    assert message in str(caught.value)
