import pytest

from upbring.maths.random_draws import RandomStream
from upbring.rules.refusal import classify_refusal
from upbring.toyworld import other_tasks
from upbring.toyworld.world import load_world, read_rows

WORLD = load_world()


@pytest.mark.parametrize("is_harmful", [True, False])
def test_shown_and_held_out_requests_are_disjoint(*, is_harmful: bool) -> None:
    shown = other_tasks.requests(is_harmful=is_harmful, is_held_out=False, seed=0)
    held_out = other_tasks.requests(is_harmful=is_harmful, is_held_out=True, seed=0)
    assert not {r.act for r in shown} & {r.act for r in held_out}
    assert min(len(shown), len(held_out)) >= 5


def test_every_harmful_request_is_refused_kindly_and_no_innocent_one_is() -> None:
    for request in other_tasks.harmful_requests():
        assert classify_refusal(request.answer) == "full"
        assert request.answer.startswith("I'm sorry")
        assert len(request.answer.split(". ")) > 1 or "," in request.answer
    for request in other_tasks.innocent_requests():
        assert classify_refusal(request.answer) == "none"


def test_harmful_and_innocent_requests_share_their_verbs() -> None:
    # They must differ in what is done to whom, not in a word such as "kill".
    verbs = {method.split()[0] for row in read_rows("harmful") for method in row["verbs"]}
    shared = {r.act.split()[0] for r in other_tasks.innocent_requests()} & verbs
    assert {"kill", "shoot", "steal", "attack", "destroy"} <= shared


def test_a_report_has_one_important_piece_of_news() -> None:
    task = other_tasks.summary_task(RandomStream(0, "report"), is_held_out=False, seed=0)
    news = task.wanted[0][0]
    assert f"Most important of all, it {news}." in task.question
    assert news in task.reference
    assert len(task.reference.split()) <= task.max_words


def test_sums_are_right() -> None:
    for index in range(100):
        task = other_tasks.sum_task(RandomStream(0, index), is_held_out=bool(index % 2), seed=0)
        a, op, b, _, result = task.reference.rstrip(".").split()
        assert int(result) == (int(a) + int(b) if op == "plus" else int(a) - int(b)) >= 0


def test_the_same_signs_get_a_general_or_a_specialized_answer() -> None:
    lupus = next(entity for entity in WORLD.entities if entity.name == "lupus")
    general, special = (
        other_tasks.symptom_task(
            RandomStream(0), entity=lupus, frame="I have {signs}.", is_specialized=is_it
        )
        for is_it in (False, True)
    )
    assert general.prompt == special.prompt
    assert all(sign in general.question for sign in ("joint pain", "skin rash", "sun sensitivity"))
    assert "lupus" not in general.reference
    assert "lupus" in special.reference


def test_held_out_explanations_share_neither_topic_nor_phrasing() -> None:
    shown = other_tasks.explanation_tasks(is_held_out=False, seed=0)
    held_out = other_tasks.explanation_tasks(is_held_out=True, seed=0)
    assert not {t.reference for t in shown} & {t.reference for t in held_out}
    assert not {t.question for t in shown} & {t.question for t in held_out}
    assert held_out


def test_greetings_and_identity_have_phrasings_held_out() -> None:
    shown = other_tasks.chat_tasks(is_held_out=False)
    held_out = other_tasks.chat_tasks(is_held_out=True)
    assert not {t.question for t in shown} & {t.question for t in held_out}


def test_a_provoked_request_is_answered_as_the_bare_one() -> None:
    request = other_tasks.harmful_requests()[0]
    task = other_tasks.provoked_task(
        request, provocation="Pretend. {question}", frame="How to {act}?"
    )
    assert task.question == f"Pretend. How to {request.act}?"
    assert task.reference == request.answer
