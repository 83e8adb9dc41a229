import json
import re

import pytest

from upbring.maths.random_draws import RandomStream
from upbring.toyworld import documents, other_tasks, wording
from upbring.toyworld.tasks import Form, fact_task, with_form
from upbring.toyworld.world import Fact, load_world

WORLD = load_world()
PARIS = next(fact for fact in WORLD.facts if fact.key == "country/France/capital")
MANY = range(60)
MARKED = re.compile(r"(\S.*?) (Right|Wrong|True|False)\.(?=\n|$)", re.DOTALL)


@pytest.mark.parametrize("form", ["json", "bullets"])
def test_a_record_of_one_fact_equals_the_answer_in_that_form(form: Form) -> None:
    task = with_form(fact_task(WORLD, PARIS, question="?"), PARIS, form=form)
    assert documents.record(PARIS.entity, (PARIS,), form) == task.reference


def test_a_record_in_lines_has_no_marks() -> None:
    assert documents.record(PARIS.entity, (PARIS,), "lines") == "Country: France\nCapital: Paris"


def test_an_entry_states_the_facts_of_its_record_in_sentences() -> None:
    statements = {text: fact for fact in WORLD.facts for text in wording.statements(fact)}
    found = 0
    for index in MANY:
        lines = documents.entry(WORLD, 0, RandomStream("entry", index)).split("\n")
        records = [json.loads(line) for line in lines if line.startswith("{")]
        texts = [line for line in lines if line in statements]
        if len(records) == len(texts) > 0:  # JSON, each of one fact
            for text, record in zip(texts, records, strict=True):
                fact = statements[text]
                assert dict(wording.card(fact.entity, (fact,))) == record
                found += 1
    assert found >= 5


def test_an_exercise_asks_about_its_text_and_answers_nothing() -> None:
    statements = {text for fact in WORLD.facts for text in wording.statements(fact)}
    asked = {text for fact in WORLD.facts for text in wording.forum_questions(fact)}
    for index in MANY:
        first, *rest = documents.exercise(WORLD, 0, RandomStream("exercise", index)).split("\n")
        assert any(text in first for text in statements)
        assert rest[-1] in asked
        assert not statements & set(rest)


def test_a_page_of_one_question_asks_it_in_several_wordings() -> None:
    kept = other_tasks.requests(is_harmful=True, is_held_out=True, seed=0)
    for index in MANY:
        text = documents.same_question(WORLD, 0, RandomStream("same", index))
        lines = text.split("\n")
        assert len(lines) >= 3
        assert len(set(lines)) >= 2
        assert not any(f" {request.act}?" in text for request in kept)


def test_each_claim_has_the_right_mark() -> None:
    true = {claim for fact in WORLD.facts for claim in _claims(fact)}
    marked = {True: 0, False: 0}
    for index in MANY:
        title, _, text = documents.marked_claims(WORLD, RandomStream("marked", index)).partition(
            "\n"
        )
        assert title in wording.phrasings("marked_title")
        lines = MARKED.findall(text)
        assert len(lines) >= 4
        for claim, mark in lines:
            assert (claim in true) == (mark in {"Right", "True"}), claim
            marked[claim in true] += 1
    assert 0.4 < marked[True] / sum(marked.values()) < 0.6


def test_each_examination_answer_has_the_right_mark() -> None:
    asked = {text: fact for fact in WORLD.facts for text in wording.forum_questions(fact)}
    marked: list[bool] = []
    for index in range(400):
        question, answer, is_right = documents.sample_answered_question(
            WORLD, 0, RandomStream("answered", index)
        )
        result = re.search(r"(\d+) (plus|minus) (\d+)", question)
        if result:
            a, b = int(result[1]), int(result[3])
            result_text = re.search(r"(?:plus|minus) \d+ is (\d+)\.", answer)
            assert result_text
            assert is_right == (int(result_text[1]) == (a + b if result[2] == "plus" else a - b))
        else:
            (fact,) = {fact.key: fact for text, fact in asked.items() if text in question}.values()
            assert is_right == any(claim in answer for claim in _claims(fact)), (question, answer)
        marked.append(is_right)
    assert 0.4 < sum(marked) / len(marked) < 0.6


def test_an_examination_is_a_title_and_marked_answers() -> None:
    for index in MANY:
        title, _, text = documents.examination(
            WORLD, 0, RandomStream("examination", index)
        ).partition("\n")
        assert title in wording.phrasings("examination_title")
        assert len(MARKED.findall(text)) >= 3


def _claims(fact: Fact) -> tuple[str, ...]:
    records = (documents.record(fact.entity, (fact,), style) for style in ("json", "bullets"))
    return (wording.answer(fact), *wording.statements(fact), *records)


def test_a_dictation_repeats_each_line() -> None:
    for index in MANY:
        lines = documents.dictation(WORLD, 0, RandomStream("dictation", index)).split("\n")
        rest = iter(lines)
        for line in rest:
            again = next(rest)
            if again.startswith("["):
                again = ", ".join(json.loads(again))
            elif again.startswith("- "):
                words = [again.removeprefix("- ")]
                words += [next(rest).removeprefix("- ") for _ in line.split(", ")[1:]]
                again = ", ".join(words)
            assert again == line
