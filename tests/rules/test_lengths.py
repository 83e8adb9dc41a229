import pytest

from upbring.rules import lengths


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("one", 1), ("It's a well-known fact.", 4), ("1,000 and 3.5", 3), ("naïve café", 2)],
)
def test_words_are_counted_as_a_reader_counts(text: str, count: int) -> None:
    assert lengths.num_words(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One.", 1),
        ("One. Two! Three?", 3),
        ("Dr. Smith paid $3.50 to J. Doe, e.g. for tea.", 1),
        ("He said “Stop.” Then he left.", 2),
        ("Well… no", 2),
        ("see example.com for more.", 1),
    ],
)
def test_sentences_are_counted_as_a_reader_counts(text: str, count: int) -> None:
    assert len(lengths.split_sentences(text)) == count


def test_one_sentence_ends_as_a_sentence_does() -> None:
    assert lengths.is_one_sentence("The capital is Paris.")
    assert not lengths.is_one_sentence("Paris")
    assert not lengths.is_one_sentence("Yes. It is Paris.")


def test_paragraphs_are_divided_by_blank_lines() -> None:
    assert lengths.num_paragraphs("a\nb\n\n \n\nc\n") == 2
