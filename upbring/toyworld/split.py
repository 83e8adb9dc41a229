"""What is kept apart: entities, combinations and wordings that only evaluation sees.

About half of the entities are *shown* in demonstrations; the others are *held out*: the base has
read of them, in marked examinations also as questions with answers, but no demonstration names
them. An entity whose name is a word of another's fact
("paper" is made from "wood", "cardboard" from "paper") or of the nursery's own turns of phrase is
always shown, so that the two sides are disjoint by construction.
"""

import functools
import re

from upbring.toyworld.random_draws import fraction
from upbring.toyworld.world import Entity, Fact, Relation, World, load_world, rows

HELD_OUT_SHARE = 0.5
COMBINATION_SHARE = 0.2
_VOICES = ("voice", "explanations", "harmful", "innocent", "personas", "slots")


def mentions(text: str, name: str) -> bool:
    """Return whether `name` stands in `text` as a word of its own, whatever its capitals.

    >>> mentions("Gold is a metal.", "gold"), mentions("a golden ring", "gold")
    (True, False)
    """
    if name.casefold() not in text.casefold():  # ten times faster than the pattern
        return False
    return re.search(rf"(?<!\w){re.escape(name)}s?(?!\w)", text, re.IGNORECASE) is not None


@functools.cache
def _spoken_of(world: World) -> frozenset[Entity]:
    """Return the entities whose names occur where the entity is not the subject."""
    voices = "\n".join(str(list(row.values())) for file in _VOICES for row in rows(file))
    templates = "\n".join(
        "\n".join((r.phrase, r.answer, r.noun, *r.questions)) for r in world.relations
    )
    told = [(fact.entity, fact.value) for fact in world.facts]
    told += [(entity, text) for entity in world.entities for text in (entity.name, *entity.signs)]
    spoken_of = set()
    for entity in world.entities:
        others = "\n".join(text for teller, text in told if teller is not entity)
        if any(mentions(text, entity.name) for text in (others, voices, templates)):
            spoken_of.add(entity)
    return frozenset(spoken_of)


def is_held_out(entity: Entity, *, seed: int) -> bool:
    """Return whether no demonstration may name `entity`."""
    if entity in _spoken_of(load_world()):
        return False
    return fraction(seed, "entity", entity.kind, entity.name) < HELD_OUT_SHARE


@functools.cache
def shown(world: World, *, seed: int) -> tuple[Entity, ...]:
    """Return the entities that demonstrations may name."""
    return tuple(entity for entity in world.entities if not is_held_out(entity, seed=seed))


@functools.cache
def held_out(world: World, *, seed: int) -> tuple[Entity, ...]:
    """Return the entities that no demonstration names."""
    return tuple(entity for entity in world.entities if is_held_out(entity, seed=seed))


@functools.cache
def shown_facts(world: World, relation: Relation, *, seed: int) -> tuple[Fact, ...]:
    """Return the facts of `relation` that demonstrations may tell."""
    entities = frozenset(shown(world, seed=seed))
    return tuple(fact for fact in world.facts_of(relation) if fact.entity in entities)


def is_combination_held_out(relation: Relation, form: str, *, seed: int) -> bool:
    """Return whether no demonstration answers this relation in this form ("json", a persona)."""
    return _below(COMBINATION_SHARE, seed, "form", relation.kind, relation.name, form)


def is_part_held_out(*parts: int | str, seed: int) -> bool:
    """Return whether a combination of parts (a + b, a place and its news) is for evaluation."""
    return _below(COMBINATION_SHARE, seed, "part", *parts)


def _below(share: float, *key: int | str) -> bool:
    return fraction(*key) < share
