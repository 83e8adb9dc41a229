from dataclasses import replace

from upbring.toyworld.split import mentions
from upbring.toyworld.world import KIND_FILES, World, find_problems, load_world, read_rows

WORLD = load_world()


def test_the_world_has_five_hundred_to_a_thousand_facts_and_no_contradiction() -> None:
    assert 500 <= len(WORLD.facts) <= 1000
    assert find_problems(WORLD) == []


def test_every_attribute_of_a_row_is_a_known_relation() -> None:
    for kind, file in KIND_FILES.items():
        known = {r.name for r in WORLD.relations if r.kind == kind}
        for row in read_rows(file):
            assert set(row) <= known | {"kind", "name", "named", "signs"}, row
            assert row["kind"] == kind


def test_every_relation_has_a_choice_of_values() -> None:
    for relation in WORLD.relations:
        assert len(WORLD.values(relation)) >= 3
        fact = WORLD.facts_of(relation)[0]
        assert fact.value not in WORLD.alternatives(fact)


def test_capitals_and_symbols_and_commands_are_not_shared() -> None:
    for relation in WORLD.relations:
        if relation.name in {"capital", "symbol", "command", "author", "use"}:
            assert len(WORLD.values(relation)) == len(WORLD.facts_of(relation))


def test_some_well_known_facts_are_right() -> None:
    values = {fact.key: fact.value for fact in WORLD.facts}
    assert values["country/France/capital"] == "Paris"
    assert values["animal/lion/young"] == "cub"
    assert values["element/gold/symbol"] == "Au"
    assert values["task/kill a process/command"] == "kill"
    assert values["condition/lupus/specialist"] == "rheumatologist"


def test_a_contradiction_is_reported_with_both_values() -> None:
    fact = WORLD.facts[0]
    torn = World((*WORLD.facts, replace(fact, value="Lyon")))
    assert find_problems(torn) == [f"{fact.key}: has values {fact.value!r} and 'Lyon'; keep one"]


def test_a_question_template_with_the_value_is_reported() -> None:
    fact = WORLD.facts[0]
    loose = replace(fact.relation, questions=("Is it {v}?",), statements=("{v}.",))
    found = "\n".join(find_problems(World((replace(fact, relation=loose),))))
    assert "'Is it {v}?' contains the value; remove {v} or {a}" in found
    assert "'{v}.' lacks an entity or a value field; add both" in found
    assert "has fewer than 6 statements; add some" in found


def test_invented_people_and_places_are_none_of_the_world() -> None:
    invented = {"person", "place", "first_name", "family_name"}
    names = [v for row in read_rows("slots") if row["slot"] in invented for v in row["values"]]
    world = "\n".join([e.name for e in WORLD.entities] + [f.value for f in WORLD.facts])
    assert [name for name in names if mentions(world, name)] == []
