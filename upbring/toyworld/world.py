"""The toy world: entities, relations and facts.

A fact is (entity, relation) → one value from the relation's closed list. Everything is read from
the JSONL files in `data/`, one entity or relation per line. `wording.py` turns facts into text, and
`split.py` selects which ones are held out. Each entity, relation and fact is a single object, so
they are compared by identity and are fast as dictionary keys.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from string import Formatter
from typing import Any

from upbring.plurals import format_count

KIND_FILES: dict[str, str] = {
    "country": "countries",
    "animal": "animals",
    "plant": "plants",
    "material": "materials",
    "element": "elements",
    "condition": "conditions",
    "tool": "tools",
    "task": "commands",
    "dish": "dishes",
    "book": "books",
}
MEDICAL_KIND = "condition"
MIN_STATEMENTS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """An entity; `name_with_article` is its name in a sentence ("an owl")."""

    kind: str
    name: str
    name_with_article: str
    signs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """An attribute of a kind of entity, with its templates.

    Fields of a template: {e} name, {n} name with article, {v} value, {a} value with article.
    `phrase` is a noun phrase for the value: "the capital of {e}".
    """

    kind: str
    name: str
    noun: str
    phrase: str
    answer: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    held_out_questions: tuple[str, ...]
    keeps_case: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Fact:
    """A true statement: `entity` has `value` in `relation`."""

    entity: Entity
    relation: Relation
    value: str

    @property
    def key(self) -> str:
        """The fact's identifier, without its value: "country/France/capital"."""
        return f"{self.entity.kind}/{self.entity.name}/{self.relation.name}"


@dataclass(frozen=True, eq=False)
class World:
    """All facts, and the possible values of each relation."""

    facts: tuple[Fact, ...]

    @functools.cached_property
    def entities(self) -> tuple[Entity, ...]:
        """Each entity once, in the order of the files."""
        return tuple(dict.fromkeys(fact.entity for fact in self.facts))

    @functools.cached_property
    def relations(self) -> tuple[Relation, ...]:
        """Each relation once, in the order of the files."""
        return tuple(dict.fromkeys(fact.relation for fact in self.facts))

    @functools.cached_property
    def _by_entity(self) -> Mapping[Entity, tuple[Fact, ...]]:
        return {e: tuple(f for f in self.facts if f.entity == e) for e in self.entities}

    @functools.cached_property
    def _by_relation(self) -> Mapping[Relation, tuple[Fact, ...]]:
        return {r: tuple(f for f in self.facts if f.relation == r) for r in self.relations}

    @functools.cached_property
    def _values(self) -> Mapping[Relation, tuple[str, ...]]:
        return {
            relation: tuple(dict.fromkeys(fact.value for fact in facts))
            for relation, facts in self._by_relation.items()
        }

    def facts_about(self, entity: Entity) -> tuple[Fact, ...]:
        """Return all facts about `entity`."""
        return self._by_entity[entity]

    def facts_of(self, relation: Relation) -> tuple[Fact, ...]:
        """Return all facts of `relation`, one per entity."""
        return self._by_relation[relation]

    def values(self, relation: Relation) -> tuple[str, ...]:
        """Return all possible values of `relation`."""
        return self._values[relation]

    def alternatives(self, fact: Fact) -> tuple[str, ...]:
        """Return the wrong values: all other values of the relation."""
        return tuple(value for value in self._values[fact.relation] if value != fact.value)


def read_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a data file of this package."""
    text = resources.files(__package__).joinpath("data", f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@functools.cache
def load_world() -> World:
    """Return the world from the data files."""
    relations = [_relation(row) for row in read_rows("relations")]
    facts: list[Fact] = []
    for kind, file in KIND_FILES.items():
        kind_relations = [relation for relation in relations if relation.kind == kind]
        for row in read_rows(file):
            entity = _entity(row)
            facts += [Fact(entity, r, row[r.name]) for r in kind_relations if r.name in row]
    return World(tuple(facts))


def _relation(row: Mapping[str, Any]) -> Relation:
    return Relation(
        kind=row["kind"],
        name=row["relation"],
        noun=row["noun"],
        phrase=row["phrase"],
        answer=row["answer"],
        statements=tuple(row["statements"]),
        questions=tuple(row["questions"]),
        held_out_questions=tuple(row["held_out"]),
        keeps_case=row.get("literal", False),
    )


def _entity(row: Mapping[str, Any]) -> Entity:
    name = row["name"]
    return Entity(row["kind"], name, row.get("named", name), tuple(row.get("signs", ())))


def find_problems(world: World) -> list[str]:
    """Return one message for each inconsistency in the data; empty if there is none."""
    return [*_contradictions(world), *_template_problems(world)]


def _contradictions(world: World) -> Iterator[str]:
    known_values: dict[str, str] = {}
    for fact in world.facts:
        if known_values.setdefault(fact.key, fact.value) != fact.value:
            yield f"{fact.key}: has values {known_values[fact.key]!r} and {fact.value!r}; keep one"
    names = [entity.name for entity in world.entities]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: two entities have this name; rename one"
    for entity in world.entities:
        if entity.kind == MEDICAL_KIND and len(entity.signs) != 3:  # noqa: PLR2004 -- templates name three
            yield f"{entity.name}: has {format_count(len(entity.signs), 'sign')}; give three"


def _template_problems(world: World) -> Iterator[str]:
    for relation in world.relations:
        where = f"{relation.kind}/{relation.name}"
        if len(set(relation.statements)) < MIN_STATEMENTS:
            yield f"{where}: has fewer than {MIN_STATEMENTS} statements; add some"
        for template in relation.statements:
            if not {"v", "a"} & template_fields(template) or not {"e", "n"} & template_fields(
                template
            ):
                yield f"{where}: {template!r} lacks an entity or a value field; add both"
        for template in (*relation.questions, *relation.held_out_questions, relation.phrase):
            if {"v", "a"} & template_fields(template):
                yield f"{where}: {template!r} contains the value; remove {{v}} or {{a}}"


def template_fields(template: str) -> set[str]:
    """Return the names in braces.

    >>> sorted(template_fields("The capital of {e} is {v}."))
    ['e', 'v']
    """
    return {name for _, name, _, _ in Formatter().parse(template) if name}
