import pytest

from upbring.toyworld import wording
from upbring.toyworld.world import MIN_STATEMENTS, Fact, load_world

WORLD = load_world()
BY_KEY = {fact.key: fact for fact in WORLD.facts}


def test_every_fact_has_six_statements_that_hold_its_value() -> None:
    for fact in WORLD.facts:
        statements = set(wording.statements(fact))
        assert len(statements) >= MIN_STATEMENTS
        assert all(fact.value.casefold() in text.casefold() for text in statements)


def test_statements_name_the_value_before_and_after_the_entity() -> None:
    for relation in WORLD.relations:
        is_value_first = {
            min(t.find(x) for x in ("{v}", "{a}") if x in t)
            < min(t.find(x) for x in ("{e}", "{n}") if x in t)
            for t in relation.statements
        }
        assert is_value_first == {True, False}


def test_every_fact_has_five_questions_and_others_held_out() -> None:
    for fact in WORLD.facts:
        asked, held_out = wording.questions(fact), wording.held_out_questions(fact)
        assert len(set(asked)) >= 5
        assert len(set(held_out)) >= 2
        assert not set(held_out) & set(wording.forum_questions(fact))


def test_no_two_facts_share_a_question() -> None:
    asked = [
        q for f in WORLD.facts for q in (*wording.questions(f), *wording.held_out_questions(f))
    ]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("country/France/capital", "The capital of France is Paris."),
        ("animal/elephant/group", "An elephant is a mammal."),
        ("task/list files/command", "To list files, type ls."),
        ("element/gold/symbol", "The symbol of gold is Au."),
    ],
)
def test_an_answer_is_a_short_sentence(key: str, answer: str) -> None:
    assert wording.answer(BY_KEY[key]) == answer


def test_a_command_at_the_beginning_keeps_its_small_letter() -> None:
    statements = wording.statements(BY_KEY["task/list files/command"])
    assert "ls is the command to list files." in statements


def test_every_fact_has_a_cloze_that_only_its_value_completes() -> None:
    def endings(fact: Fact, opening: str) -> list[str]:
        statements = [t for f in WORLD.facts_about(fact.entity) for t in wording.statements(f)]
        return [text for text in statements if text.startswith(opening + " ")]

    for fact in WORLD.facts:
        clozes = wording.clozes(WORLD, fact)
        assert clozes
        for cloze in clozes:
            assert cloze.opening != "The capital of France is"
            assert endings(fact, cloze.opening) == [f"{cloze.opening} {cloze.ending(fact.value)}."]


@pytest.mark.parametrize("kind", ["act", "explain", "sum", "summary", "symptom"])
def test_no_phrasing_is_both_shown_and_held_out(kind: str) -> None:
    shown = wording.side_phrasings(f"{kind}_question", is_held_out=False)
    held_out = wording.side_phrasings(f"{kind}_question", is_held_out=True)
    assert len(set(shown)) == len(shown) >= 5
    assert held_out
    assert not set(shown) & set(held_out)


def test_demonstrations_ask_in_more_ways_than_the_corpus_and_never_in_held_out_ones() -> None:
    for fact in WORLD.facts[::50]:
        shown = set(wording.shown_questions(fact))
        assert shown > set(wording.questions(fact))
        assert not shown & set(wording.held_out_questions(fact))
