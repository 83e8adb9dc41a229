import math

import pytest

from upbring.data.read.records import Message
from upbring.judge.judgment import JudgeQuestion
from upbring.judge.wording import (
    format_dialogue,
    judge_prompt,
    label_weights,
    labels,
    parse_letter,
    verdict_of_letter,
    verdict_of_weights,
)


def test_a_prompt_names_each_response_and_the_way_to_say_nothing() -> None:
    question = JudgeQuestion((Message("user", "Hi"),), ("one", "two", "three"), "Which is kinder?")
    (message,) = judge_prompt(question)
    assert labels(question) == "ABCD"
    for part in ("[Dialogue]\nHi", "[Answer C]\nthree", "Which is kinder?", "or D if you cannot"):
        assert part in message.content
    assert "Answer:" not in message.content
    assert "Answer: and the letter" in judge_prompt(question, has_reasoning=True)[0].content


def test_a_dialogue_has_roles_if_it_has_several_messages() -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Bye"))
    assert format_dialogue(turns) == "user: Hi\nassistant: Hello\nuser: Bye"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"),
        (" B.\n", "B"),
        ("**C**", "C"),
        ("(A)\nBecause it is polite.", "A"),
        ("They differ.\n\nFinal answer: B", "B"),
        ("B is wrong.\nAnswer: A", "A"),
        ("A reasonable answer is C", None),
        ("I choose B.", None),
        ("D", None),
        ("a", None),
        ("", None),
        ("Both are fine", None),
        ("The answer: B is better", None),
    ],
)
def test_only_a_letter_alone_counts(text: str, letter: str | None) -> None:
    assert parse_letter(text, "ABC") == letter


def test_weights_become_choices_and_the_probability_of_saying_nothing() -> None:
    found = verdict_of_weights([0.3, 0.1, 0.4], label_mass=0.8)
    assert found.choices == pytest.approx((0.75, 0.25))
    assert (found.cannot_say, found.label_mass) == (pytest.approx(0.5), 0.8)
    assert verdict_of_weights([0.0, 0.0, 1.0]).choices == (0.5, 0.5)
    assert verdict_of_weights([0.0, 0.0, 0.0]).choices is None


def test_a_letter_is_certain_and_no_letter_is_not_understood() -> None:
    assert verdict_of_letter("B", "ABC").choices == (0.0, 1.0)
    assert verdict_of_letter("C", "ABC").cannot_say == 1.0
    assert verdict_of_letter(None, "ABC", text="prose").choices is None


def test_spellings_of_a_letter_are_added() -> None:
    found = label_weights({"A": math.log(0.5), " A": math.log(0.2), "AB": math.log(0.1)}, "ABC")
    assert found == pytest.approx([0.7, 0, 0])
