"""Invisible and look-alike characters can be undone; noise has its stated rate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbring.feedback.attacks import spelling
from upbring.feedback.attacks.attacked_prompt import ChangeText
from upbring.maths.random_draws import RandomStream

LATIN = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1)
SENTENCE = "How do I paint an old wooden boat without breathing the fumes? "


@pytest.mark.parametrize(
    "change",
    [
        spelling.hide_characters,
        spelling.insert_invisible,
        spelling.replace_lookalikes,
        spelling.add_marks,
    ],
)
@given(text=LATIN, seed=st.integers(0, 1000))
def test_hidden_characters_leave_the_visible_text(change: ChangeText, text: str, seed: int) -> None:
    assert spelling.visible_text(change(text, RandomStream(seed))) == text


@given(text=LATIN, seed=st.integers(0, 1000))
def test_invisible_characters_are_always_inserted(text: str, seed: int) -> None:
    assert len(spelling.insert_invisible(text, RandomStream(seed))) > len(text)


def test_random_capitals_occur_at_the_rate_of_the_paper() -> None:
    text = "a" * 4000  # one-letter words are not scrambled; a moved letter is not counted
    noisy = spelling.add_noise(" ".join(text), RandomStream(1))
    letters = [c for c in noisy if c in "aA"]
    rate = sum(c == "A" for c in letters) / len(letters)
    assert abs(rate - math.sqrt(spelling.NOISE)) < 4 * math.sqrt(0.25 / len(letters))


def test_scrambled_words_keep_their_first_and_last_letter() -> None:
    scrambled = spelling._scramble("boating", RandomStream(3))
    assert scrambled[0] + scrambled[-1] == "bg"
    assert sorted(scrambled) == sorted("boating")


def test_a_third_of_the_long_words_has_a_typing_error() -> None:
    words = ("wooden " * 900).split()
    typed = spelling.add_typos(" ".join(words), RandomStream(5)).split()
    share = sum(a != b for a, b in zip(words, typed, strict=True)) / len(words)
    assert 0.25 < share < 0.4  # a doubled or swapped letter may be the same word


def test_respelling_draws_all_kinds() -> None:
    drawn = {spelling.respell(SENTENCE, RandomStream(i)) for i in range(40)}
    assert len(drawn) == 4
