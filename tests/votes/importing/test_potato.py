from pathlib import Path

import pytest

from tests.votes.importing.imported import FIXTURES, best_first, edited, read_fixture
from upbring.errors import InputError
from upbring.votes.importing.read_export import read_export


def test_pairs_ties_and_rankings_are_read_with_the_texts_of_the_items() -> None:
    name, found = read_fixture("user_state.json", items="potato-items.jsonl")
    assert name == "potato"
    assert [best_first(vote) for vote in found.votes] == [
        [{"4."}, {"5."}],
        [{"It is warm."}, {"It is Paris."}, {"It is cold."}],  # a name with a comma in it
        [{"Hi.", "Hey."}],
    ]
    assert {vote.annotator for vote in found.votes} == {"ann"}
    assert found.left_out == {"items without a ranking": 1}


def test_the_items_are_needed() -> None:
    with pytest.raises(InputError, match="name the study's data file with --items"):
        read_fixture("user_state.json")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"p1": [[', '"p9": [[', 7, "p9: is no id of the items; name the study's data file"),
        ('"r1": [[{"schema": "order", "name": "ranking"}, "warm', '"r1": ["x", ["w', 8, "has 'x'"),
        (
            '{"schema": "order", "name": "ranking"}, "warm',
            '{"schema": "order", "name": "ranking"}, "warm,warm',
            8,
            "names a response twice",
        ),
        (
            '{"schema": "order", "name": "ranking"}, "warm,Paris, France,cold"',
            '{"schema": "order", "name": "selection"}, "A"',
            8,
            "compares two texts that the item does not have",
        ),
    ],
)
def test_a_malformed_answer_is_reported_by_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    path = edited(tmp_path, "user_state.json", old, new)
    with pytest.raises(InputError) as caught:
        read_export(path, items=FIXTURES / "potato-items.jsonl")
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert message in str(caught.value)


def test_an_item_without_an_id_is_reported(tmp_path: Path) -> None:
    items = edited(tmp_path, "potato-items.jsonl", '"id": "r1"', '"name": "r1"')
    with pytest.raises(InputError, match=r"potato-items\.jsonl:2: id: is missing"):
        read_export(FIXTURES / "user_state.json", items=items)
