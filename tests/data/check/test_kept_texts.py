import pytest

from upbring.data.check import kept_texts
from upbring.data.check.duplicates import DuplicatePair
from upbring.data.check.kept_texts import TextIndex
from upbring.data.read.records import Origin

LONG = "the quick brown fox jumps over the lazy dog and runs away from the angry farmer at dawn"


def texts(*given: str, file: str = "a.jsonl", keeps: bool = True) -> TextIndex:
    made = TextIndex(keeps_texts=keeps)
    for line, text in enumerate(given, 1):
        made.add(text, Origin(file, line))
    return made


def test_copies_are_paired_with_the_first_of_them() -> None:
    made = texts("One", "two", "one ", "TWO", "one")
    assert made.find_copies() == [
        DuplicatePair(0, 2, 1.0),
        DuplicatePair(1, 3, 1.0),
        DuplicatePair(0, 4, 1.0),
    ]
    assert made.num_distinct(0, 5) == 2
    assert made.num_distinct(0, 1) == 1


def test_near_copies_are_no_copies() -> None:
    made = texts(LONG, LONG + " today", "something else altogether, and quite short")
    assert not made.find_copies()
    (pair,) = made.find_near_copies()
    assert (pair.first, pair.second) == (0, 1)


def test_held_out_texts_are_found_in_the_training_texts() -> None:
    train = texts("a", LONG, "b", "b")
    held_out = texts("c", "B", LONG + " today", file="held.jsonl")
    assert held_out.find_copies_in(train) == [DuplicatePair(1, 2, 1.0)]
    (near,) = held_out.find_near_copies_in(train)
    assert (near.first, near.second) == (2, 1)
    assert texts("a").find_copies_in(texts()) == []
    assert texts().find_copies_in(train) == []


def test_a_place_is_told_by_file_and_line() -> None:
    made = texts("a", "b")
    made.add("c", Origin("b.jsonl", 17))
    assert [made.location(place) for place in range(3)] == ["a.jsonl:1", "a.jsonl:2", "b.jsonl:17"]
    assert made.short_location(0, "a.jsonl:2") == "line 1"
    assert made.short_location(0, "b.jsonl:17") == "a.jsonl:1"


def test_texts_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_texts, "MAX_TEXTS", 2)
    made = texts("a", "b", "c", "a")
    assert made.texts == ["a", "b"]
    assert made.find_copies() == [DuplicatePair(0, 3, 1.0)]  # all are known by their digests
    monkeypatch.setattr(kept_texts, "MAX_TEXTS", 10)
    monkeypatch.setattr(kept_texts, "MAX_CHARACTERS", 3)
    assert texts("ab", "cd", "e").texts == ["ab", "cd"]
    assert texts("ab", keeps=False).texts == []
