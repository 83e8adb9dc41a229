import pytest

from upbring.rules.tone import num_formatting_marks, num_polite_words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("The capital is Paris.", 0),
        ("Gladly! Please feel free to ask, thank you.", 4),
        ("I hope this helps; happy to say more.", 2),
        ("Displeased, unkindness.", 0),
    ],
)
def test_courtesies_are_counted_as_words(text: str, count: int) -> None:
    assert num_polite_words(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("plain text, 2 * 3 * 4 = 24", 0),
        ("## Title\n\n**bold** and __bold__", 3),
        ("```\ncode\n```", 2),
        ("| a | b |\n|---|---|\n1. one\n- two", 4),
    ],
)
def test_marks_of_formatting_are_counted(text: str, count: int) -> None:
    assert num_formatting_marks(text) == count
