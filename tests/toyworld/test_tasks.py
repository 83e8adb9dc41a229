import json
from dataclasses import replace

from upbring.toyworld import tasks, wording
from upbring.toyworld.eval_sets import task_sets
from upbring.toyworld.world import load_world

WORLD = load_world()
FRANCE = next(fact for fact in WORLD.facts if fact.key == "country/France/capital")
TASK = tasks.fact_task(WORLD, FRANCE, question="What is the capital of France?")


def test_each_form_is_asked_for_and_shown() -> None:
    made = {form: tasks.with_form(TASK, FRANCE, form=form) for form in tasks.FORMS}
    assert made["json"].question == "What is the capital of France? Answer as JSON."
    assert json.loads(made["json"].reference) == {"country": "France", "capital": "Paris"}
    assert made["bullets"].reference == "- Country: France\n- Capital: Paris"
    assert made["sentence"].reference == "The capital of France is Paris."


def test_a_persona_adds_a_system_message() -> None:
    task = tasks.with_persona(TASK, tasks.personas()[0])
    assert [message.role for message in task.prompt] == ["system", "user"]
    assert task.reference == "Ahoy! The capital of France is Paris."


def test_a_second_turn_follows_the_answer_to_the_first() -> None:
    task = tasks.as_follow_up(TASK, replace(TASK, reference="…"), question="And Japan?")
    texts = [message.content for message in task.prompt]
    assert texts == [TASK.question, "The capital of France is Paris.", "And Japan?"]


def test_a_task_written_as_a_row_is_read_back_the_same() -> None:
    for made in task_sets(WORLD, seed=0, size=5).values():
        for task in made:
            assert tasks.from_row(json.loads(json.dumps(tasks.as_row(task)))) == task


def test_the_wrong_values_do_not_include_the_right_one() -> None:
    assert "Berlin" in TASK.unwanted
    assert FRANCE.value not in TASK.unwanted
    assert wording.answer(FRANCE) == TASK.reference
