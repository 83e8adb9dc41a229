import math

import pytest

from tests.evaluate.scripted import Scripted, user_prompt
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.facts import Question
from upbring.evaluate.forgetting import (
    TopicPrompts,
    measure_alignment_tax,
    measure_drift,
    measure_perplexity,
    sample_topics,
)
from upbring.runs.results import EvalResult

DOCUMENTS = ["one two three", "four five"]  # 3 and 2 tokens, 13 and 9 bytes


def numbers(found: list[EvalResult], model: str) -> dict[str, EvalResult]:
    return {number.name: number for number in found if number.model == model}


def test_perplexity_is_of_all_tokens_together() -> None:
    base = Scripted("base", {}, {DOCUMENTS[0]: -3.0, DOCUMENTS[1]: -7.0})
    found = numbers(measure_perplexity([base], DOCUMENTS, cache=AnswerCache()), "base")
    assert found["perplexity"].value == pytest.approx(math.exp(10 / 5))
    assert found["bits_per_byte"].value == pytest.approx(10 / math.log(2) / 22)
    assert "perplexity_change" not in found


def test_the_growth_is_paired_and_relative() -> None:
    base = Scripted("base", {}, {DOCUMENTS[0]: -3.0, DOCUMENTS[1]: -2.0})
    sft = Scripted("sft", {}, {DOCUMENTS[0]: -3.3, DOCUMENTS[1]: -2.2})
    found = numbers(measure_perplexity([base, sft], DOCUMENTS, cache=AnswerCache()), "sft")
    change = found["perplexity_change"]
    # 0.5 nats more over the 5 tokens of the model before: e^0.1 − 1
    assert change.value == pytest.approx(math.exp(0.1) - 1)
    assert (change.low, change.too_few) == (None, 2)
    assert (change.against, change.is_higher_better) == ("base", False)


def test_the_interval_of_the_growth_is_paired() -> None:
    texts = [f"a text about number {i}" for i in range(40)]
    logprobs = {text: -3.0 - i for i, text in enumerate(texts)}
    base = Scripted("base", {}, logprobs)
    later = {text: value - 0.2 - 0.01 * (i % 3) for i, (text, value) in enumerate(logprobs.items())}
    found = numbers(
        measure_perplexity([base, Scripted("sft", {}, later)], texts, cache=AnswerCache()), "sft"
    )
    change, perplexity = found["perplexity_change"], found["perplexity"]
    assert change.low is not None
    assert change.high is not None
    assert perplexity.low is not None
    assert perplexity.high is not None
    assert 0 < change.low < change.high
    # the texts differ a lot, the growth does not
    assert change.high - change.low < (perplexity.high - perplexity.low) / 50


def test_the_alignment_tax_has_a_result_per_capability() -> None:
    questions = {
        "sums": [Question(user_prompt("1+1?"), ("2",))],
        "chat": [Question(user_prompt("Hi"), ("hi",))],
    }
    base = Scripted("base", {"1+1?": "2", "Hi": "no"})
    sft = Scripted("sft", {"1+1?": "3", "Hi": "hi!"})
    found = numbers(measure_alignment_tax([base, sft], questions, cache=AnswerCache()), "sft")
    assert found["sums/accuracy_change"].value == -1
    assert found["chat/accuracy_change"].value == 1
    assert found["chat/accuracy"].suite == "forgetting"


TOPICS = [TopicPrompts("chat", (user_prompt("a"), user_prompt("b"), user_prompt("c")))]


def test_drift_is_the_mean_log_ratio_of_the_later_models_samples() -> None:
    base = Scripted("base", {}, {"x": -5.0, "y": -4.0})
    sft = Scripted("sft", {"a": "x", "b": "y", "c": ""}, {"x": -2.0, "y": -1.0})
    (found,) = measure_drift([base, sft], TOPICS, cache=AnswerCache())
    assert (found.name, found.model, found.against) == ("drift/chat", "sft", "base")
    assert found.value == pytest.approx(
        (3 + 3 + 0) / 3
    )  # an empty response has log-probability 0 under both
    assert found.unit == "nats"
    assert measure_drift([base], TOPICS, cache=AnswerCache()) == []


def test_cached_samples_are_not_generated_again() -> None:
    journal = AnswerCache()
    sft = Scripted("sft", {"a": "x", "b": "y", "c": ""}, {"x": -2.0, "y": -1.0})
    responses = sample_topics(sft, TOPICS, cache=journal)
    assert responses["chat"][0] == ["x", "y", ""]
    before = sft.num_asked
    measure_drift([Scripted("base", {}, {"x": -5.0, "y": -4.0}), sft], TOPICS, cache=journal)
    assert sft.num_asked == before
