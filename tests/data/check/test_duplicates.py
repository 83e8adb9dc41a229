import random

import pytest

from tests.conftest import trials
from upbring.data.check import duplicates
from upbring.data.check.duplicates import DuplicatePair


def _texts(count: int, *, seed: int = 0, words: int = 30) -> list[str]:
    rng = random.Random(seed)
    vocabulary = [f"w{k}" for k in range(3000)]
    return [" ".join(rng.choices(vocabulary, k=words)) for _ in range(count)]


def test_a_text_that_differs_in_capitals_and_spaces_alone_is_an_exact_duplicate() -> None:
    texts = ["What is  2 + 2?", "What is 2 - 2?", "what is 2 + 2?\n"]
    assert duplicates.exact_duplicates(texts) == [DuplicatePair(0, 2, 1.0)]


def test_every_exact_duplicate_is_found_once() -> None:
    texts = _texts(500)
    copies = [texts[k].upper() + " " for k in range(0, 500, 5)]
    found = duplicates.exact_duplicates(texts + copies)
    assert [(p.first, p.second) for p in found] == [(5 * k, 500 + k) for k in range(100)]


def test_near_duplicates_are_found_and_others_are_not() -> None:
    texts = _texts(300, words=60)
    changed = []
    for k in range(50):  # one word of 60 changed: 55 of 61 trigrams remain, similarity 0.90
        words = texts[k].split()
        words[30] = "other"
        changed.append(" ".join(words))
    found = duplicates.near_duplicates(texts + changed)
    assert [(p.first, p.second) for p in found] == [(k, 300 + k) for k in range(50)]
    assert all(p.similarity == pytest.approx(55 / 61) for p in found)


def test_held_out_texts_are_found_in_the_training_texts_exactly_and_nearly() -> None:
    train = _texts(400, words=60)
    held_out = [*_texts(20, seed=9), train[7].title(), train[8] + " more"]
    found = duplicates.overlap(held_out, train)
    assert found.exact == (DuplicatePair(20, 7, 1.0),)
    assert [(p.first, p.second) for p in found.near] == [(21, 8)]


def test_texts_without_words_or_spaces_are_compared_too() -> None:
    chinese = "机器学习是人工智能的一个分支它使计算机能够从数据中学习而不需要明确编程"
    texts = ["", "!", "?", chinese, chinese + "吗"]
    assert duplicates.exact_duplicates(texts) == []
    assert [(p.first, p.second) for p in duplicates.near_duplicates(texts)] == [(3, 4)]


def test_similarity_of_short_texts_is_that_computed_by_hand() -> None:
    # Trigrams abc bcd cde and abc bcd cdf: 2 of 4.
    assert duplicates.jaccard("a b c d e", "a b c d f") == 0.5
    assert duplicates.jaccard("a b", "A  B") == 1.0
    assert duplicates.jaccard("a", "b") == 0.0


def test_no_texts_give_no_pairs() -> None:
    assert duplicates.near_duplicates([]) == []
    assert duplicates.overlap([], ["a"]).exact == ()


def test_a_near_duplicate_is_found_among_many_rows() -> None:
    texts = _texts(trials(5000, 50_000), words=50)
    (found,) = duplicates.near_duplicates([*texts, texts[3] + " more"])
    assert (found.first, found.second) == (3, len(texts))
