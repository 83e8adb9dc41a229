from upbring.toyworld import wording
from upbring.toyworld.demonstrations import demonstrations, medicine
from upbring.toyworld.split import (
    held_out_entities,
    is_combination_held_out,
    is_held_out,
    mentions,
    shown_entities,
    shown_facts,
)
from upbring.toyworld.world import load_world

WORLD = load_world()
SEED = 0


def test_about_half_of_the_entities_are_shown_and_none_is_on_both_sides() -> None:
    shown, held_out = (
        set(shown_entities(WORLD, seed=SEED)),
        set(held_out_entities(WORLD, seed=SEED)),
    )
    assert not shown & held_out
    assert shown | held_out == set(WORLD.entities)
    assert 0.4 < len(shown) / len(WORLD.entities) < 0.6


def test_every_relation_has_facts_on_both_sides() -> None:
    for relation in WORLD.relations:
        facts = shown_facts(WORLD, relation, seed=SEED)
        assert len(facts) >= 5
        assert len(WORLD.facts_of(relation)) - len(facts) >= 5


def test_no_demonstration_names_a_held_out_entity() -> None:
    rows = demonstrations(WORLD, seed=SEED, count=1200)
    text = "\n".join({message.content for row in rows for message in row.messages})
    assert [e.name for e in held_out_entities(WORLD, seed=SEED) if mentions(text, e.name)] == []


def test_no_demonstration_uses_a_held_out_phrasing() -> None:
    both = (*demonstrations(WORLD, seed=SEED, count=1500), *medicine(WORLD, seed=SEED, count=200))
    asked = {m.content for row in both for m in row.messages if m.role == "user"}
    kept = {q for fact in WORLD.facts for q in wording.held_out_questions(fact)}
    assert not any(question in kept for question in asked)
    assert not any(q.startswith(tuple(kept)) for q in asked)


def test_an_entity_mentioned_elsewhere_is_always_shown() -> None:
    by_name = {entity.name: entity for entity in WORLD.entities}
    # Cardboard is made from paper; a polar bear eats seals.
    assert not any(is_held_out(by_name[n], seed=s) for n in ("paper", "seal") for s in range(20))


def test_another_seed_gives_another_split() -> None:
    assert set(held_out_entities(WORLD, seed=0)) != set(held_out_entities(WORLD, seed=1))


def test_some_combinations_of_relation_and_form_are_held_out_for_every_form() -> None:
    for form in ("json", "bullets", "sentence"):
        held = [r for r in WORLD.relations if is_combination_held_out(r, form, seed=SEED)]
        assert 0 < len(held) < len(WORLD.relations) / 2
