import math

import pytest

from tests.evaluate.scripted import Scripted, asked
from upbring.evaluate.answer_cache import Journal
from upbring.evaluate.facts import Question
from upbring.evaluate.forgetting import Topic, drift, perplexities, speak, tax
from upbring.runs.results import Measured

DOCUMENTS = ["one two three", "four five"]  # 3 and 2 tokens, 13 and 9 bytes


def numbers(found: list[Measured], model: str) -> dict[str, Measured]:
    return {number.name: number for number in found if number.model == model}


def test_perplexity_is_of_all_tokens_together() -> None:
    base = Scripted("base", {}, {DOCUMENTS[0]: -3.0, DOCUMENTS[1]: -7.0})
    found = numbers(perplexities([base], DOCUMENTS, journal=Journal()), "base")
    assert found["perplexity"].value == pytest.approx(math.exp(10 / 5))
    assert found["bits_per_byte"].value == pytest.approx(10 / math.log(2) / 22)
    assert "perplexity_change" not in found


def test_the_growth_is_paired_and_relative() -> None:
    base = Scripted("base", {}, {DOCUMENTS[0]: -3.0, DOCUMENTS[1]: -2.0})
    sft = Scripted("sft", {}, {DOCUMENTS[0]: -3.3, DOCUMENTS[1]: -2.2})
    found = numbers(perplexities([base, sft], DOCUMENTS, journal=Journal()), "sft")
    change = found["perplexity_change"]
    # 0.5 nats more over the 5 tokens of the model before: e^0.1 − 1
    assert change.value == pytest.approx(math.exp(0.1) - 1)
    assert change.low is not None
    assert change.high is not None
    assert change.high - change.low < 0.01  # although the documents differ much
    assert (change.against, change.is_higher_better) == ("base", False)


def test_the_tax_is_a_line_for_each_capability() -> None:
    questions = {
        "sums": [Question(asked("1+1?"), ("2",))],
        "chat": [Question(asked("Hi"), ("hi",))],
    }
    base = Scripted("base", {"1+1?": "2", "Hi": "no"})
    sft = Scripted("sft", {"1+1?": "3", "Hi": "hi!"})
    found = numbers(tax([base, sft], questions, journal=Journal()), "sft")
    assert found["sums/accuracy_change"].value == -1
    assert found["chat/accuracy_change"].value == 1
    assert found["chat/accuracy"].suite == "forgetting"


TOPICS = [Topic("chat", (asked("a"), asked("b"), asked("c")))]


def test_drift_is_the_mean_log_ratio_of_what_the_later_model_says() -> None:
    base = Scripted("base", {}, {"x": -5.0, "y": -4.0})
    sft = Scripted("sft", {"a": "x", "b": "y", "c": ""}, {"x": -2.0, "y": -1.0})
    (found,) = drift([base, sft], TOPICS, journal=Journal())
    assert (found.name, found.model, found.against) == ("drift/chat", "sft", "base")
    assert found.value == pytest.approx((3 + 3 + 0) / 3)  # an empty answer is sure to both
    assert found.unit == "nats"
    assert drift([base], TOPICS, journal=Journal()) == []


def test_what_was_said_before_is_not_said_again() -> None:
    journal = Journal()
    sft = Scripted("sft", {"a": "x", "b": "y", "c": ""}, {"x": -2.0, "y": -1.0})
    told = speak(sft, TOPICS, journal=journal)
    assert told["chat"][0] == ["x", "y", ""]
    before = sft.num_asked
    drift([Scripted("base", {}, {"x": -5.0, "y": -4.0}), sft], TOPICS, journal=journal)
    assert sft.num_asked == before
