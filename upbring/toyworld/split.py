"""The split into shown and held-out entities, combinations and requests.

About half of the entities are *shown* in demonstrations. The others are *held out*: they are in the
pre-training data, including the answered questions of the examinations, but in no demonstration.
An entity whose name occurs in a fact of another entity ("cardboard" is made from "paper") or in a
template is always shown, so that the two parts are disjoint by construction.
"""

import functools
import re

from upbring.maths.random_draws import hash_to_uniform
from upbring.toyworld.world import Entity, Fact, Relation, World, load_world, read_rows

HELD_OUT_SHARE = 0.5
COMBINATION_SHARE = 0.2
_TEXT_FILES = ("voice", "explanations", "harmful", "innocent", "personas", "slots")


def mentions(text: str, name: str) -> bool:
    """Return whether `text` contains `name` as a word, ignoring case.

    >>> mentions("Gold is a metal.", "gold"), mentions("a golden ring", "gold")
    (True, False)
    """
    if name.casefold() not in text.casefold():  # ten times faster than the regex
        return False
    return re.search(rf"(?<!\w){re.escape(name)}s?(?!\w)", text, re.IGNORECASE) is not None


@functools.cache
def _mentioned_elsewhere(world: World) -> frozenset[Entity]:
    """Return the entities whose names occur in texts about something else."""
    other_texts = "\n".join(
        str(list(row.values())) for file in _TEXT_FILES for row in read_rows(file)
    )
    templates = "\n".join(
        "\n".join((r.phrase, r.answer, r.noun, *r.questions)) for r in world.relations
    )
    texts = [(fact.entity, fact.value) for fact in world.facts]
    texts += [(entity, text) for entity in world.entities for text in (entity.name, *entity.signs)]
    mentioned = set()
    for entity in world.entities:
        others = "\n".join(text for owner, text in texts if owner is not entity)
        if any(mentions(text, entity.name) for text in (others, other_texts, templates)):
            mentioned.add(entity)
    return frozenset(mentioned)


def is_held_out(entity: Entity, *, seed: int) -> bool:
    """Return whether demonstrations must not contain `entity`."""
    if entity in _mentioned_elsewhere(load_world()):
        return False
    return hash_to_uniform(seed, "entity", entity.kind, entity.name) < HELD_OUT_SHARE


@functools.cache
def shown_entities(world: World, *, seed: int) -> tuple[Entity, ...]:
    """Return the entities that demonstrations may contain."""
    return tuple(entity for entity in world.entities if not is_held_out(entity, seed=seed))


@functools.cache
def held_out_entities(world: World, *, seed: int) -> tuple[Entity, ...]:
    """Return the entities that no demonstration contains."""
    return tuple(entity for entity in world.entities if is_held_out(entity, seed=seed))


@functools.cache
def shown_facts(world: World, relation: Relation, *, seed: int) -> tuple[Fact, ...]:
    """Return the facts of `relation` that demonstrations may contain."""
    entities = frozenset(shown_entities(world, seed=seed))
    return tuple(fact for fact in world.facts_of(relation) if fact.entity in entities)


def is_combination_held_out(relation: Relation, form: str, *, seed: int) -> bool:
    """Return whether a relation is held out for a form ("json") or a persona."""
    return _is_below(COMBINATION_SHARE, seed, "form", relation.kind, relation.name, form)


def is_part_held_out(*parts: int | str, seed: int) -> bool:
    """Return whether a combination of parts (a sum, a place and its news) is held out."""
    return _is_below(COMBINATION_SHARE, seed, "part", *parts)


def _is_below(share: float, *key: int | str) -> bool:
    return hash_to_uniform(*key) < share
