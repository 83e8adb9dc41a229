import pytest

from tests.evaluate.scripted import Scripted, user_prompt
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.facts import Question, grade, measure_facts
from upbring.runs.results import EvalResult

FRANCE = Question(user_prompt("Capital of France?"), ("Paris", "Paris, France"))


def number(found: list[EvalResult], name: str, model: str = "sft") -> float:
    (value,) = [n.value for n in found if n.name == name and n.model == model]
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("response", "expected", "grades"),
    [
        ("Paris", "Paris", (1, 1, 1)),
        ("The capital is Paris.", "Paris", (1, 0, 0)),
        ("the paris!", "Paris", (1, 0, 1)),
        ("London", "Paris", (0, 0, 0)),
        ("So he has $72.00 left.", "48 + 24 = 72\n#### 72", (1, 0, 0)),
        ("It is 720.", "72", (0, 0, 0)),
        ("First 10, then 72", "72", (1, 0, 0)),
        ("", "Paris", (0, 0, 0)),
    ],
)
def test_an_answer_is_right_by_words_or_by_number(
    response: str, expected: str, grades: tuple[int, int, int]
) -> None:
    found = grade(Question(user_prompt("?"), (expected,)), response)
    assert (found["accuracy"], found["exact_match"], found["normalised_match"]) == grades


def test_any_accepted_answer_will_do() -> None:
    assert grade(FRANCE, "Paris, France")["exact_match"] == 1


def test_shares_of_right_answers_are_compared_with_the_first_model() -> None:
    second = Question(user_prompt("Capital of Japan?"), ("Tokyo",))
    base = Scripted("base", {"Capital of France?": "A city.", "Capital of Japan?": "Tokyo"})
    sft = Scripted("sft", {"Capital of France?": "Paris", "Capital of Japan?": "It is Tokyo."})
    found = measure_facts([base, sft], [FRANCE, second], cache=AnswerCache())
    assert number(found, "accuracy", "base") == 0.5
    assert number(found, "accuracy") == 1
    assert number(found, "accuracy_change") == 0.5
    assert number(found, "exact_match") == 0.5
    assert {n.suite for n in found} == {"facts"}
    assert next(n for n in found if n.name == "accuracy").count == 2


def test_a_choice_is_the_likeliest_ending_by_its_mean_or_its_sum() -> None:
    questions = [
        Question("The sky is", ("blue",), ("very green",)),
        Question(user_prompt("Who?"), ("Ada",), ("Bob",)),
    ]
    logprobs = {" blue": -2.0, " very green": -3.0, "Ada": -1.0, "Bob": -1.0}
    sft = Scripted("sft", {}, logprobs)
    found = measure_facts([sft], questions, cache=AnswerCache())
    # means −2 and −1.5; a tie is wrong; sums −2 and −3
    assert number(found, "choice_accuracy") == 0
    assert number(found, "choice_accuracy_sum") == 0.5


def test_another_grader_may_be_handed_in() -> None:
    sft = Scripted("sft", {"Capital of France?": "x"})
    found = measure_facts(
        [sft],
        [FRANCE],
        cache=AnswerCache(),
        grade=lambda question, text: {"length": len(text) / len(question.accepted)},
        suite="forgetting",
        prefix="sums/",
        is_synthetic=True,
    )
    (only,) = found
    assert (only.suite, only.name, only.value, only.is_synthetic) == (
        "forgetting",
        "sums/length",
        0.5,
        True,
    )
