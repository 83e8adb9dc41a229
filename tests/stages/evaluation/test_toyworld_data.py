import pytest

from upbring.stages.evaluation.toyworld_data import (
    CAPABILITY_SETS,
    ToyworldEvalData,
    grade_correctness,
    grade_format,
    load_toyworld_data,
)


@pytest.fixture(scope="module")
def own() -> ToyworldEvalData:
    return load_toyworld_data(max_rows=10)


def test_the_toy_world_has_data_for_every_suite(own: ToyworldEvalData) -> None:
    assert len(own.questions) == len(own.format_questions) == len(own.documents) == 10
    assert {request.is_harmful for request in own.requests} == {True, False}
    assert {canary.repetitions for canary in own.canaries} >= {0, 64}
    assert set(own.capabilities) == {"clozes", *CAPABILITY_SETS}
    assert all(question.alternatives for question in own.capabilities["clozes"])
    assert own.prompts
    assert set(own.topics) == {name for name in own.topics if own.topics[name]}


def test_references_are_correct_and_in_the_requested_format(own: ToyworldEvalData) -> None:
    for question in own.questions:
        assert grade_correctness(question, question.accepted[0]) == {"accuracy": 1.0, "graded": 1.0}
        assert grade_correctness(question, "")["accuracy"] == 0
    assert all(grade_format(q, q.accepted[0]) == {"form": 1.0} for q in own.format_questions)


def test_the_gold_reward_prefers_the_reference(own: ToyworldEvalData) -> None:
    (question,) = [q for q in own.questions if q.prompt in own.prompts][:1]
    assert not isinstance(question.prompt, str)
    good, bad = own.judge.scores(
        [(question.prompt, question.accepted[0]), (question.prompt, "I do not know.")]
    )
    assert good > bad
    assert own.judge.is_synthetic
