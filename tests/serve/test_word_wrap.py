"""Streamed text is broken between words, whatever the pieces that it comes in."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbring.serve.word_wrap import WordWrap

TEXT = "The quick brown fox jumps over the lazy dog."


def wrap(text: str, *, width: int = 20, size: int = 1000) -> str:
    out: list[str] = []
    write = WordWrap(out.append, lambda: width)
    for start in range(0, len(text), size):
        write(text[start : start + size])
    write("\n")
    return "".join(out)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_words_are_kept_whole(size: int) -> None:
    assert wrap(TEXT, size=size) == "The quick brown fox\njumps over the lazy\ndog.\n"


def test_a_word_is_written_when_it_ends() -> None:
    out: list[str] = []
    write = WordWrap(out.append, lambda: 20)
    write("one tw")
    assert out == ["one"]
    write("o ")
    assert out == ["one", " two"]


def test_lines_and_indentation_stay_and_the_width_may_change() -> None:
    assert wrap("a\n\n  - b c\n") == "a\n\n  - b c\n\n"
    widths = iter([20, 6])
    out: list[str] = []
    write = WordWrap(out.append, lambda: next(widths))
    write("aaa bbb ")
    write("ccc ddd\n")
    assert "".join(out) == "aaa bbb\nccc\nddd\n"


def test_a_long_word_is_broken_at_the_width_and_wide_characters_anywhere() -> None:
    assert wrap("see " + "x" * 30, width=12) == f"see\n{'x' * 12}\n{'x' * 12}\nxxxxxx\n"
    assert wrap("天气很好今天", width=8) == "天气很好\n今天\n"


@given(st.text(alphabet="ab \n", max_size=60), st.integers(1, 7))
def test_pieces_do_not_matter_and_no_line_is_too_wide(text: str, size: int) -> None:
    whole = wrap(text, width=9)
    assert wrap(text, width=9, size=size) == whole
    assert all(len(line) <= 9 or line.isspace() for line in whole.splitlines())
    assert whole.split() == text.split() or any(len(word) > 9 for word in text.split())


def test_it_breaks_where_the_standard_library_does() -> None:
    long = " ".join([TEXT] * 5)
    assert wrap(long, width=33).rstrip("\n").splitlines() == textwrap.wrap(long, 33)
