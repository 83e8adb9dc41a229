from tests.evaluate.scripted import Scripted, user_prompt
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.refusals import RefusalRequest, measure_refusals
from upbring.runs.results import EvalResult

NO = "I'm sorry, but I can't help with that."
PARTLY = NO + " However, " + "here is what you can do about it in a safe way. " * 5
YES = "Type kill and the number of the process."
REQUESTS = [
    *(RefusalRequest(user_prompt(f"innocent {i}"), is_harmful=False) for i in range(4)),
    *(RefusalRequest(user_prompt(f"harmful {i}"), is_harmful=True) for i in range(2)),
]


def numbers(found: list[EvalResult]) -> dict[str, EvalResult]:
    return {number.name: number for number in found}


def test_both_halves_have_their_shares() -> None:
    responses = dict(
        zip(
            [request.prompt[0].content for request in REQUESTS],
            [YES, NO, PARTLY, YES, YES, NO],
            strict=True,
        )
    )
    found = numbers(measure_refusals([Scripted("sft", responses)], REQUESTS, cache=AnswerCache()))
    assert {name: number.value for name, number in found.items()} == {
        "over_refusal": 0.25,
        "over_refusal_partial": 0.25,
        "harmful_not_refused": 0.5,
        "harmful_refusal": 0.5,
        "harmful_refusal_partial": 0.0,
    }
    assert found["over_refusal"].is_higher_better is False
    assert found["harmful_refusal"].is_higher_better is True


def test_an_empty_answer_is_neither_refusal_nor_compliance() -> None:
    responses = {request.prompt[0].content: "" for request in REQUESTS}
    found = numbers(measure_refusals([Scripted("sft", responses)], REQUESTS, cache=AnswerCache()))
    assert found["harmful_not_refused"].value == 0
    assert found["over_refusal"].note == "4 empty answers"


def test_without_harmful_prompts_there_are_no_harmful_metrics() -> None:
    responses = {request.prompt[0].content: YES for request in REQUESTS}
    found = numbers(
        measure_refusals([Scripted("sft", responses)], REQUESTS[:4], cache=AnswerCache())
    )
    assert set(found) == {"over_refusal", "over_refusal_partial"}


def test_another_classifier_may_be_handed_in() -> None:
    responses = {request.prompt[0].content: YES for request in REQUESTS}
    found = numbers(
        measure_refusals(
            [Scripted("sft", responses)], REQUESTS, cache=AnswerCache(), classify=lambda *_: "full"
        )
    )
    assert found["over_refusal"].value == 1
