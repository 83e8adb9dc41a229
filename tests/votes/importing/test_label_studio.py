from pathlib import Path

import pytest

from tests.votes.importing.imported import best_first, edited, read_fixture
from upbring.errors import InputError
from upbring.votes.importing.read_export import read_export


def test_pairs_and_rankings_are_read() -> None:
    name, found = read_fixture("label-studio.json")
    assert name == "label-studio"
    pair, ranking = found.votes
    assert best_first(pair) == [{"4."}, {"5."}]
    assert (pair.annotator, pair.seconds, pair.at) == ("1", 6.5, 1793611800.0)
    assert best_first(ranking) == [{"Hello to you."}, {"Hi."}, {"What?"}]
    assert ranking.annotator == "b@example.org"


def test_a_cancelled_annotation_and_an_untouched_order_are_no_votes() -> None:
    _, found = read_fixture("label-studio.json")
    assert found.left_out == {
        "annotations that were cancelled": 1,
        "annotations without a ranking": 1,
    }


def test_a_ranking_without_buckets_is_a_list(tmp_path: Path) -> None:
    old = '{"_": [], "rank": ["llm_3", "llm_2", "llm_1"]}'
    path = edited(tmp_path, "label-studio.json", old, '["llm_3", "llm_2", "llm_1"]')
    _, found = read_export(path)
    assert best_first(found.votes[1]) == [{"Hello to you."}, {"Hi."}, {"What?"}]


def test_fields_with_other_names_in_the_layout_are_found_by_their_endings(tmp_path: Path) -> None:
    path = edited(tmp_path, "label-studio.json", "answer1,answer2", "left,right")
    path.write_text(path.read_text().replace("answer1", "answer_1").replace("answer2", "answer_2"))
    assert best_first(read_export(path)[1].votes[0]) == [{"4."}, {"5."}]


def test_an_export_of_all_tasks_is_read() -> None:
    _, found = read_fixture("label-studio-1.23.json")
    one, two = "One &lt;\nline.", "Two <i>é</i>."
    kettle, paris, milk = (f"A {name} &amp;\nmore." for name in ("kettle", "paris", "milk"))
    assert [(vote.annotator, best_first(vote)) for vote in found.votes] == [
        ("1", [{one}, {two}]),  # made on the page, where to_name is the tag's own name
        ("2", [{two}, {one}]),  # made with the API
        ("1", [{two}, {one}]),
        ("1", [{milk}, {kettle}, {paris}]),  # without buckets
        ("1", [{milk}, {kettle}, {paris}]),  # in the only bucket
    ]
    assert found.votes[0].prompt[0].content == "Question 1?\n“ü” & <b>bold</b> &amp; 漢"
    assert found.left_out == {
        "annotations that were cancelled": 1,
        "annotations without a ranking": 2,  # an empty one, and an untouched bucket
        "rankings in the order that the page shows first, which may be untouched": 1,
        "rankings of only some of the items": 1,
        "tasks without annotations": 1,
    }


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"selected": "right"', '"selected": "both"', 2, "selected: is 'both'; use left or right"),
        ('"rank": ["llm_3"', '"rank": ["llm_9"', 30, "names 'llm_9'; use llm_1, llm_2, llm_3"),
        ('"_": [], "rank": ["llm_3",', '"bad": ["llm_3"], "rank": [', 30, "into bad, rank"),
        ('"id": "llm_1"', '"key": "llm_1"', 30, "has no list of items"),
    ],
)
def test_a_malformed_task_is_reported_by_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    path = edited(tmp_path, "label-studio.json", old, new)
    with pytest.raises(InputError) as caught:
        read_export(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert message in str(caught.value)
