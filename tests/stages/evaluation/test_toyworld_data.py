import pytest

from upbring.stages.evaluation.toyworld_data import CAPABILITIES, Gold, gold, in_form, right


@pytest.fixture(scope="module")
def own() -> Gold:
    return gold(most=10)


def test_every_suite_has_something_of_the_nursery(own: Gold) -> None:
    assert len(own.questions) == len(own.forms) == len(own.documents) == 10
    assert {request.is_harmful for request in own.requests} == {True, False}
    assert {canary.times_told for canary in own.canaries} >= {0, 64}
    assert set(own.capabilities) == {"clozes", *CAPABILITIES}
    assert all(question.alternatives for question in own.capabilities["clozes"])
    assert own.prompts
    assert set(own.topics) == {name for name in own.topics if own.topics[name]}


def test_references_are_right_and_in_form(own: Gold) -> None:
    for question in own.questions:
        assert right(question, question.accepted[0]) == {"accuracy": 1.0, "graded": 1.0}
        assert right(question, "")["accuracy"] == 0
    assert all(in_form(q, q.accepted[0]) == {"form": 1.0} for q in own.forms)


def test_the_gold_reward_prefers_the_reference(own: Gold) -> None:
    (question,) = [q for q in own.questions if q.prompt in own.prompts][:1]
    assert not isinstance(question.prompt, str)
    good, bad = own.judge.scores(
        [(question.prompt, question.accepted[0]), (question.prompt, "I do not know.")]
    )
    assert good > bad
    assert own.judge.is_synthetic
