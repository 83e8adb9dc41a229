import pytest

from upbring.data.check import kept_texts
from upbring.data.check.duplicates import Pair
from upbring.data.check.kept_texts import Texts
from upbring.data.read.records import Origin

LONG = "the quick brown fox jumps over the lazy dog and runs away from the angry farmer at dawn"


def texts(*given: str, file: str = "a.jsonl", keeps: bool = True) -> Texts:
    made = Texts(keeps=keeps)
    for line, text in enumerate(given, 1):
        made.add(text, Origin(file, line))
    return made


def test_copies_are_paired_with_the_first_of_them() -> None:
    made = texts("One", "two", "one ", "TWO", "one")
    assert made.copies() == [Pair(0, 2, 1.0), Pair(1, 3, 1.0), Pair(0, 4, 1.0)]
    assert made.num_distinct(0, 5) == 2
    assert made.num_distinct(0, 1) == 1


def test_near_copies_are_no_copies() -> None:
    made = texts(LONG, LONG + " today", "something else altogether, and quite short")
    assert not made.copies()
    (pair,) = made.near_copies()
    assert (pair.first, pair.second) == (0, 1)


def test_held_out_texts_are_found_in_the_training_texts() -> None:
    train = texts("a", LONG, "b", "b")
    held_out = texts("c", "B", LONG + " today", file="held.jsonl")
    assert held_out.copied_from(train) == [Pair(1, 2, 1.0)]
    (near,) = held_out.nearly_copied_from(train)
    assert (near.first, near.second) == (2, 1)
    assert texts("a").copied_from(texts()) == []
    assert texts().copied_from(train) == []


def test_a_place_is_told_by_file_and_line() -> None:
    made = texts("a", "b")
    made.add("c", Origin("b.jsonl", 17))
    assert [made.where(place) for place in range(3)] == ["a.jsonl:1", "a.jsonl:2", "b.jsonl:17"]
    assert made.where_too(0, "a.jsonl:2") == "line 1"
    assert made.where_too(0, "b.jsonl:17") == "a.jsonl:1"


def test_texts_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_texts, "MOST_TEXTS", 2)
    made = texts("a", "b", "c", "a")
    assert made.kept == ["a", "b"]
    assert made.copies() == [Pair(0, 3, 1.0)]  # all are known by their digests
    monkeypatch.setattr(kept_texts, "MOST_TEXTS", 10)
    monkeypatch.setattr(kept_texts, "MOST_CHARACTERS", 3)
    assert texts("ab", "cd", "e").kept == ["ab", "cd"]
    assert texts("ab", keeps=False).kept == []
