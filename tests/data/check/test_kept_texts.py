import pytest

from upbring.data.check import kept_texts
from upbring.data.check.duplicates import DuplicatePair
from upbring.data.check.kept_texts import TextIndex
from upbring.data.read.records import Origin

LONG = "the quick brown fox jumps over the lazy dog and runs away from the angry farmer at dawn"


def texts(*given: str, file: str = "a.jsonl", keeps: bool = True) -> TextIndex:
    index = TextIndex(keeps_texts=keeps)
    for line, text in enumerate(given, 1):
        index.add(text, Origin(file, line))
    return index


def test_copies_are_paired_with_the_first_occurrence() -> None:
    index = texts("One", "two", "one ", "TWO", "one")
    assert index.find_copies() == [
        DuplicatePair(0, 2, 1.0),
        DuplicatePair(1, 3, 1.0),
        DuplicatePair(0, 4, 1.0),
    ]
    assert index.num_distinct(0, 5) == 2
    assert index.num_distinct(0, 1) == 1


def test_near_copies_are_not_exact_copies() -> None:
    index = texts(LONG, LONG + " today", "something else altogether, and quite short")
    assert not index.find_copies()
    (pair,) = index.find_near_copies()
    assert (pair.first, pair.second) == (0, 1)


def test_held_out_texts_are_found_in_the_training_texts() -> None:
    train = texts("a", LONG, "b", "b")
    held_out = texts("c", "B", LONG + " today", file="held.jsonl")
    assert held_out.find_copies_in(train) == [DuplicatePair(1, 2, 1.0)]
    (near,) = held_out.find_near_copies_in(train)
    assert (near.first, near.second) == (2, 1)
    assert texts("a").find_copies_in(texts()) == []
    assert texts().find_copies_in(train) == []


def test_a_location_is_a_file_and_a_line() -> None:
    index = texts("a", "b")
    index.add("c", Origin("b.jsonl", 17))
    assert [index.location(k) for k in range(3)] == ["a.jsonl:1", "a.jsonl:2", "b.jsonl:17"]
    assert index.short_location(0, "a.jsonl:2") == "line 1"
    assert index.short_location(0, "b.jsonl:17") == "a.jsonl:1"


def test_texts_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_texts, "MAX_TEXTS", 2)
    index = texts("a", "b", "c", "a")
    assert index.texts == ["a", "b"]
    assert index.find_copies() == [DuplicatePair(0, 3, 1.0)]  # the digests of all texts are kept
    monkeypatch.setattr(kept_texts, "MAX_TEXTS", 10)
    monkeypatch.setattr(kept_texts, "MAX_CHARACTERS", 3)
    assert texts("ab", "cd", "e").texts == ["ab", "cd"]
    assert texts("ab", keeps=False).texts == []
