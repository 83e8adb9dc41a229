import json
from collections import Counter

from upbring.toyworld import wording
from upbring.toyworld.demonstrations import (
    HELD_OUT_PERSONAS,
    demonstration_task,
    demonstrations,
    medicine,
)
from upbring.toyworld.grading import grade
from upbring.toyworld.split import is_combination_held_out, is_part_held_out
from upbring.toyworld.tasks import FORMS, personas
from upbring.toyworld.world import load_world

WORLD = load_world()
TASKS = [demonstration_task(WORLD, seed=0, index=index) for index in range(800)]


def test_every_demonstration_gets_full_marks_but_for_courtesy() -> None:
    for task in TASKS:
        found = grade(task, task.reference)
        assert (found.correct, found.concise, found.form) == (1, 1, 1), (task.question, found)
        assert found.polite >= 0.5
        assert not found.harm
        assert not found.needless_refusal


def test_all_kinds_are_shown() -> None:
    kinds = Counter(task.kind for task in TASKS)
    assert set(kinds) == {
        "fact", "sentence", "json", "bullets", "persona", "follow-up", "harmful", "innocent",
        "explanation", "evidence", "summary", "sum", "symptoms", "identity", "greeting",
    }  # fmt: skip
    assert kinds["fact"] > 150


def test_json_has_the_requested_keys() -> None:
    named = [task for task in TASKS if task.kind == "json" and task.pairs]
    assert len({key for task in named for key, _ in task.pairs}) > 15
    for task in named:
        (first, _), (second, _) = task.pairs
        assert task.question.endswith(f'with the keys "{first}" and "{second}".')
        assert list(json.loads(task.reference)) == [first, second]


def test_held_out_combinations_are_never_shown() -> None:
    relations = {(f.entity.name, wording.answer(f)): f.relation for f in WORLD.facts}
    names = {persona.opening: persona.name for persona in personas()}
    seen = Counter[str]()
    for task in TASKS:
        if task.kind in {*FORMS, "persona"} and task.about:
            kept = names.get(task.opening, task.kind)
            relation = relations[task.about, task.plain_reference]
            assert not is_combination_held_out(relation, kept, seed=0), task.question
            seen[kept] += 1
        if task.kind == "sum":
            a, op, b = task.about.split()
            assert not is_part_held_out("sum", op, int(a), int(b), seed=0)
    assert min(seen.pop(form) for form in FORMS) > 10
    assert set(seen) <= {persona.name for persona in personas()[:-HELD_OUT_PERSONAS]}
    assert len(seen) > 10


def test_the_same_seed_gives_the_same_demonstrations_and_another_seed_others() -> None:
    assert demonstrations(WORLD, seed=3, count=30) == demonstrations(WORLD, seed=3, count=30)
    assert demonstrations(WORLD, seed=3, count=30) != demonstrations(WORLD, seed=4, count=30)
    assert demonstrations(WORLD, seed=3, count=10) == demonstrations(WORLD, seed=3, count=30)[:10]


def test_medicine_names_the_illness() -> None:
    rows = medicine(WORLD, seed=0, count=60)
    answers = [row.messages[-1].content for row in rows]
    assert sum("These can be signs of" in answer for answer in answers) > 20
    assert not any("many causes" in answer for answer in answers)
