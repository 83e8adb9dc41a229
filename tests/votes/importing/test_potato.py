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


def test_a_state_with_other_schemes_and_an_item_passed_over_is_read() -> None:
    _, found = read_fixture("potato-2.12-user_state.json", items="potato-2.12-items.json")
    kettle, paris, milk, cold = "A kettle.\nOld.", "Paris & more.", "Milk <ok>.", "Cold 漢."
    ice = "Ice &lt;cold&gt; é"
    assert [best_first(vote) for vote in found.votes] == [
        [{"Tea.\nHot & <i>nice</i> q1"}, {ice}],
        [{cold}, {kettle}, {paris}, {milk}],  # and "kettle,cold" in a text box is no vote
        [{ice}, {"Tea.\nHot & <i>nice</i> item 2"}],
        [{kettle}, {milk}, {paris}, {cold}],
        [{"Tea.\nHot & <i>nice</i> q3", ice}],
    ]
    assert found.votes[0].prompt[0].content == "Question q1?\n“ü” & <b>bold</b> &amp; 漢"


def test_a_line_is_found_by_an_escaped_id(tmp_path: Path) -> None:
    path = edited(tmp_path, "user_state.json", '"p1": [[', '"\\u00fc": [[')
    with pytest.raises(InputError, match=r"user_state\.json:7: .*\.ü: is no id of the items"):
        read_export(path, items=FIXTURES / "potato-items.jsonl")


def test_the_compared_pair_is_the_text_if_an_item_has_several(tmp_path: Path) -> None:
    old = '"text": ["5.", "4."]'
    items = edited(tmp_path, "potato-items.jsonl", old, f'"models": ["x", "y"], {old}')
    _, found = read_export(FIXTURES / "user_state.json", items=items)
    assert best_first(found.votes[0]) == [{"4."}, {"5."}]
    items = edited(tmp_path, "potato-items.jsonl", '"text"', '"models": ["x", "y"], "answers"')
    with pytest.raises(InputError, match="compares one of the pairs models, answers of the item"):
        read_export(FIXTURES / "user_state.json", items=items)


def test_an_item_whose_answers_were_taken_back_is_no_vote(tmp_path: Path) -> None:
    old = '"s1": [[{"schema": "why", "name": "text_box"}, "no comparison"]]'
    path = edited(tmp_path, "user_state.json", old, '"s1": []')
    _, found = read_export(path, items=FIXTURES / "potato-items.jsonl")
    assert (len(found.votes), found.left_out) == (3, {"items without a ranking": 1})


def test_the_items_are_needed() -> None:
    with pytest.raises(InputError, match="name the study's data file with --items"):
        read_fixture("user_state.json")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"p1": [[', '"p9": [[', 7, "p9: is no id of the items; name the study's data file"),
        (
            '"r1": [[{"schema": "order", "name": "rank_order"}, "warm',
            '"r1": ["x", ["w',
            8,
            "has 'x'",
        ),
        (
            '{"schema": "order", "name": "rank_order"}, "warm',
            '{"schema": "order", "name": "rank_order"}, "warm,warm',
            8,
            "names a response twice",
        ),
        ("warm,Paris, France,cold", "warm,hot", 8, "ranks 'warm,hot', and the item has cold, warm"),
        (
            '{"schema": "order", "name": "rank_order"}, "warm,Paris, France,cold"',
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
