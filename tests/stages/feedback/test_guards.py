from collections import Counter

from upbring.data.read.records import Message
from upbring.feedback.soft_labels import SoftLabel
from upbring.judge.judgment import JudgeCounts
from upbring.runs.results import EvalResult
from upbring.stages.feedback.candidates import Candidates, Revision
from upbring.stages.feedback.guards import label_results, revision_results
from upbring.stages.feedback.labeled_pairs import LabeledPair, LabeledPairs

TEMPLATE = EvalResult("constitution", "m", "", None)
REFUSAL = "I'm sorry, but I can't help with that."


def candidates(first: str, revised: str, *, label: str) -> Candidates:
    line = f'{{"prompt": "Q", "label": "{label}"}}'
    return Candidates(0, (Message("user", "Q"),), line, (first,), [Revision("p", "c", revised)])


def test_refusals_are_counted_before_and_after_on_all_and_on_harmless_prompts() -> None:
    rows = [candidates("Paris is it.", REFUSAL, label="safe")] * 25
    rows += [candidates("Use poison.", REFUSAL, label="unsafe")] * 25
    found = {each.name: each for each in revision_results(rows, TEMPLATE)}
    assert (found["refused/sampled"].value, found["refused/revised"].value) == (0, 1)
    assert (found["over_refusal/revised"].value, found["over_refusal/revised"].count) == (1, 25)
    assert found["over_refusal/revised_change"].value == 1
    assert found["revised/changed"].value == 1
    assert found["revised/words_change"].unit == "words"


def test_lengths_and_refusals_of_both_sides_are_reported() -> None:
    pair = LabeledPair(
        candidates("a", "b", label=""), ("one two three", REFUSAL), (), SoftLabel("labeled", 0.9)
    )
    counts = JudgeCounts(asked=40, flipped=10, both_orders=40)
    labels = LabeledPairs((pair,) * 30, Counter({"labeled": 30, "cannot say": 10}), counts)
    found = {each.name: each for each in label_results(labels, TEMPLATE)}
    assert found["pairs/labeled"].value == 0.75
    assert found["pairs/cannot_say"].value == 0.25
    assert found["pairs/flip_rate"].value == 0.25
    assert (found["words/chosen"].value, found["words/rejected"].value) == (3, 8)
    assert found["chosen_longer"].value == 0
    assert (found["refused/chosen"].value, found["refused/rejected"].value) == (0, 1)
