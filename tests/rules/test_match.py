from decimal import Decimal

import pytest

from upbring.rules import match


def test_exact_forgives_white_space_around_alone() -> None:
    assert match.is_exact(" Paris\n", "Paris")
    assert not match.is_exact("paris", "Paris")


def test_normalised_texts_are_equal_but_for_case_punctuation_and_articles() -> None:
    assert match.is_normalized_match("The Eiffel-Tower!", "eiffeltower")
    assert not match.is_normalized_match("Paris, France", "Paris")


def test_the_expected_words_stand_in_the_answer_as_whole_words() -> None:
    assert match.contains_phrase("I think it is the Seine.", "Seine")
    assert not match.contains_phrase("insane", "sane")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 72", "72"),
        ("so 5 + 7 = 12", "12"),
        ("It costs $1,234.50!", "1234.50"),
        ("minus −3 degrees", "-3"),
        ("2e3", "2000"),
        ("x2 and 7", "7"),
        ("1. first\n#### 1,000", "1000"),
        ("#### $18", "18"),
        ("Ends with 42.", "42"),
    ],
)
def test_the_last_number_is_the_answer(text: str, number: str) -> None:
    assert match.last_number(text) == Decimal(number)


def test_numbers_are_compared_by_value() -> None:
    assert match.is_same_number("That makes 72.0", "#### 72")
    assert not match.is_same_number("73", "72")
    assert not match.is_same_number("none", "72")
    assert not match.is_same_number("none", "none")
