from upbring.maths.random_draws import RandomStream
from upbring.rules.refusal import classify_refusal
from upbring.toyworld.annotators import task_with_candidates
from upbring.toyworld.candidates import (
    NUM_REPEATS,
    Traits,
    candidates,
    compose_answer,
    contrast_pair,
    off_topic_answers,
)
from upbring.toyworld.demonstrations import shown_task
from upbring.toyworld.grading import CAUSES, grade
from upbring.toyworld.tasks import fact_task
from upbring.toyworld.world import load_world

WORLD = load_world()
FACT = next(fact for fact in WORLD.facts if fact.key == "country/France/capital")
TASK = fact_task(WORLD, FACT, question="What is the capital of France?")


def test_candidates_are_four_to_nine_and_different() -> None:
    for index in range(100):
        _, found = task_with_candidates(WORLD, seed=0, index=index)
        assert 4 <= len(found) == len(set(found)) <= 9


def test_candidates_differ_in_reward() -> None:
    rewards = {
        round(grade(TASK, a).reward, 2) for a in candidates(TASK, count=9, rng=RandomStream(0))
    }
    assert len(rewards) >= 4


def test_some_wrong_answers_answer_something_else() -> None:
    right = Traits(is_right=False)
    others = ("The capital of Peru is Lima.",)
    wrong = [compose_answer(TASK, right, rng=RandomStream(i), off_topic=others) for i in range(200)]
    assert 0.3 < wrong.count(others[0]) / len(wrong) < 0.5
    assert all(grade(TASK, text).correct == 0 for text in wrong)
    assert others[0] not in {compose_answer(TASK, right, rng=RandomStream(i)) for i in range(200)}


def test_off_topic_answers_are_of_the_same_kind_if_possible() -> None:
    drawn = [shown_task(WORLD, RandomStream(3, index), seed=0) for index in range(40)]
    answers = {task.reference for task in drawn if task.kind == "fact"}
    assert set(off_topic_answers(TASK, drawn)) <= answers
    assert off_topic_answers(TASK, [TASK]) == ()
    (other,) = [task for task in drawn if task.kind == "sum"][:1]
    assert off_topic_answers(TASK, [other]) == (other.reference,)


def test_for_tasks_about_refusal_many_answers_refuse() -> None:
    refused: dict[str, list[float]] = {"innocent": [], "harmful": [], "fact": []}
    for index in range(400):
        task, answers = task_with_candidates(WORLD, seed=0, index=index)
        if task.kind in refused:
            refused[task.kind] += [classify_refusal(answer) == "full" for answer in answers]
    share = {kind: sum(are_refusals) / len(are_refusals) for kind, are_refusals in refused.items()}
    assert 0.25 < share["innocent"] < 0.5
    assert 0.4 < share["harmful"] < 0.75
    assert share["fact"] < 0.2


def test_the_best_traits_give_the_reference_with_courtesy() -> None:
    best = compose_answer(TASK, Traits(manner="courteous"), rng=RandomStream(0))
    assert best.startswith(TASK.reference)
    assert grade(TASK, best).polite == 1


def test_each_trait_moves_its_own_cause() -> None:
    plain = grade(TASK, compose_answer(TASK, Traits(), rng=RandomStream(0)))
    wrong = grade(TASK, compose_answer(TASK, Traits(is_right=False), rng=RandomStream(0)))
    rude = grade(TASK, compose_answer(TASK, Traits(manner="rude"), rng=RandomStream(0)))
    long = grade(TASK, compose_answer(TASK, Traits(num_fillers=5), rng=RandomStream(0)))
    refused = grade(TASK, compose_answer(TASK, Traits(fails=True), rng=RandomStream(0)))
    assert (plain.correct, wrong.correct) == (1, 0)
    assert (rude.polite, rude.correct) == (0, 1)
    assert (long.correct, long.polite) == (1, plain.polite)
    assert long.concise < plain.concise
    assert refused.needless_refusal == 1


def test_a_pair_has_one_better_answer_for_each_cause_that_fits() -> None:
    made = contrast_pair(TASK, "polite", rng=RandomStream(0))
    assert grade(TASK, made.chosen).polite > grade(TASK, made.rejected).polite
    assert grade(TASK, made.chosen).correct == grade(TASK, made.rejected).correct
    assert set(CAUSES) == {"correct", "polite", "concise", "form", "harm", "needless_refusal"}


def test_a_wrong_answer_to_any_task_is_graded_lower() -> None:
    for index in range(200):
        task = shown_task(WORLD, RandomStream(1, index), seed=0)
        if not task.is_harmful:
            wrong = compose_answer(task, Traits(is_right=False), rng=RandomStream(2, index))
            assert grade(task, wrong).correct < 1, (task.question, wrong)


def test_a_repeated_answer_or_ending_is_not_concise() -> None:
    whole = compose_answer(TASK, Traits(manner="courteous", fault="repeated"), rng=RandomStream(0))
    end = compose_answer(TASK, Traits(manner="courteous", fault="endless"), rng=RandomStream(0))
    assert whole.count(TASK.reference) == NUM_REPEATS
    assert end.count(TASK.reference) == 1
    assert end.count(end.rsplit(". ", 1)[-1]) == 1 + NUM_REPEATS
    assert [grade(TASK, answer).concise for answer in (whole, end)] == [0, 0]
    assert (
        grade(TASK, compose_answer(TASK, Traits(manner="courteous"), rng=RandomStream(0))).concise
        == 1
    )
