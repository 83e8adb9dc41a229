from upbring.data.read.records import Message
from upbring.feedback.principles import Principle
from upbring.feedback.revise import clean_revision, critique_prompt, revision_prompt

PROMPT = (Message("user", "What is the capital of France?"),)
KIND = Principle("kind", "Which answer is kinder?")


def test_a_critique_is_asked_after_the_answer() -> None:
    *start, answer, asked = critique_prompt(PROMPT, "Paris.", KIND)
    assert tuple(start) == PROMPT
    assert (answer.role, answer.content) == ("assistant", "Paris.")
    assert "Which answer is kinder?" in asked.content


def test_a_revision_is_asked_after_the_critique() -> None:
    found = revision_prompt(PROMPT, "Paris.", "It is curt.", KIND)
    assert [m.role for m in found] == ["user", "assistant", "user", "assistant", "user"]
    assert found[3].content == "It is curt."
    own = Principle("kind", "x", critique="Find faults.", revision="Mend them.")
    assert revision_prompt(PROMPT, "a", "b", own)[-1].content == "Mend them."


def test_only_an_introduction_is_removed() -> None:
    assert clean_revision("Rewritten answer:\n\nParis.") == "Paris."
    assert clean_revision("The capital is: Paris.") == "The capital is: Paris."
    assert clean_revision(" \0 ") == ""
