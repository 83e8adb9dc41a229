import pytest

from upbring.model.gguf.vocabulary import (
    BYTE_TOKENS,
    TokenType,
    merges_from_scores,
    scores_from_merges,
)

SCORES = {"a": -9.0, "b": -8.0, "ab": -1.0, "ba": -2.0, "aba": -3.0}


def test_merges_are_ordered_by_the_score_of_what_they_give() -> None:
    assert merges_from_scores(SCORES) == [("a", "b"), ("b", "a"), ("ab", "a"), ("a", "ba")]


def test_scores_and_merges_are_inverse() -> None:
    vocabulary = {token: number for number, token in enumerate(SCORES)}
    found = scores_from_merges(vocabulary, merges_from_scores(SCORES))
    assert found == {"ab": -1.0, "ba": -2.0, "aba": -3.0}


def test_merges_that_no_scores_can_express_name_a_token() -> None:
    vocabulary = {token: number for number, token in enumerate(SCORES)}
    interrupted = [("ab", "a"), ("a", "b"), ("b", "a"), ("a", "ba")]
    with pytest.raises(ValueError, match="aba"):
        scores_from_merges(vocabulary, interrupted)
    with pytest.raises(ValueError, match="aba"):  # one of its pairs is no merge
        scores_from_merges(vocabulary, merges_from_scores(SCORES)[:-1])


def test_every_byte_has_a_token() -> None:
    assert (BYTE_TOKENS[0], BYTE_TOKENS[255], len(BYTE_TOKENS)) == ("<0x00>", "<0xFF>", 256)
    assert TokenType(6) is TokenType.BYTE
