"""The share of responses that end, and its paired changes."""

from tests.evaluate.scripted import Scripted, user_prompt
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.ended import measure_ended
from upbring.evaluate.model_protocol import GeneratedText
from upbring.evaluate.refusals import RefusalRequest, measure_refusals

PROMPTS = ["b", "a", "c", "d"]
REQUESTS = [RefusalRequest(user_prompt(text), is_harmful=False) for text in PROMPTS]


def scripted(name: str, ended: str, order: str = "bacd") -> Scripted:
    texts = {p: GeneratedText("Yes.", is_cut_off=p not in ended) for p in order}
    return Scripted(name, texts)


def test_the_share_is_of_responses_that_were_not_cut_off_and_changes_are_paired() -> None:
    models, cache = [scripted("base", "a"), scripted("sft", "abc")], AnswerCache()
    measure_refusals(models[:1], REQUESTS, cache=cache)
    measure_refusals(models[1:], REQUESTS[::-1], cache=cache)  # stored in another order
    base, sft, change = measure_ended("refusals", models, cache=cache)
    assert [(n.suite, n.model, n.name) for n in (base, sft, change)] == [
        ("refusals", "base", "ended"),
        ("refusals", "sft", "ended"),
        ("refusals", "sft", "ended_change"),
    ]
    assert (base.value, sft.value, change.value) == (0.25, 0.75, 0.5)
    assert (base.count, change.against, base.is_higher_better) == (4, "base", True)


def test_a_model_that_does_not_tell_whether_it_ended_has_no_share() -> None:
    cache, model = AnswerCache(), Scripted("server", dict.fromkeys(PROMPTS, "Yes."))
    measure_refusals([model], REQUESTS, cache=cache)
    assert measure_ended("refusals", [model], cache=cache) == []
