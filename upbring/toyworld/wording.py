"""Wordings: statements, questions and answers generated from templates.

Functions for held-out wordings have `held_out` in their names or take `is_held_out`.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from upbring.toyworld.world import Entity, Fact, Relation, World, read_rows, template_fields


@functools.cache
def _load_phrasings() -> Mapping[str, tuple[str, ...]]:
    by_purpose: dict[str, tuple[str, ...]] = {}
    for row in read_rows("voice"):
        by_purpose[row["purpose"]] = (*by_purpose.get(row["purpose"], ()), row["text"])
    return by_purpose


def phrasings(purpose: str) -> tuple[str, ...]:
    """Return the phrasings for a purpose from `data/voice.jsonl`.

    >>> phrasings("json_request")
    ('Answer as JSON.',)
    """
    return _load_phrasings()[purpose]


def side_phrasings(purpose: str, *, is_held_out: bool) -> tuple[str, ...]:
    """Return the held-out phrasings, or those of the corpus and the demonstrations.

    >>> len(side_phrasings("act_question", is_held_out=False)) > len(phrasings("act_question"))
    True
    """
    if is_held_out:
        return phrasings(f"held_out_{purpose}")
    return (*phrasings(purpose), *phrasings(f"more_{purpose}"))


@functools.cache
def slots() -> Mapping[str, tuple[str, ...]]:
    """Return the possible values of each slot in stories, notices and reports."""
    return {row["slot"]: tuple(row["values"]) for row in read_rows("slots")}


def with_article(noun: str) -> str:
    """Return `noun` with its indefinite article.

    >>> with_article("owlet"), with_article("calf")
    ('an owlet', 'a calf')
    """
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def fill_template(template: str, fact: Fact) -> str:
    """Return `template` filled with `fact`, starting with a capital letter."""
    entity, value = fact.entity, fact.value
    text = template.format(
        e=entity.name, n=entity.name_with_article, v=value, a=with_article(value)
    )
    keeps_first_case = fact.relation.keeps_case and template.startswith("{v}")
    return text if keeps_first_case else _capitalize(text)


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def phrase(fact: Fact) -> str:
    """Return the noun phrase for the value, such as "the capital of France"."""
    return fact.relation.phrase.format(e=fact.entity.name, n=fact.entity.name_with_article)


def statements(fact: Fact) -> tuple[str, ...]:
    """Return all statements of `fact`."""
    return tuple(fill_template(template, fact) for template in fact.relation.statements)


def answer(fact: Fact) -> str:
    """Return the sentence that answers a question about `fact`."""
    return fill_template(fact.relation.answer, fact)


def questions(fact: Fact) -> tuple[str, ...]:
    """Return the questions that both the corpus and the demonstrations use."""
    return _fact_questions(fact, "question", fact.relation.questions)


def shown_questions(fact: Fact) -> tuple[str, ...]:
    """Return the questions that the demonstrations use."""
    return (*questions(fact), *_fact_questions(fact, "more_question", ()))


def held_out_questions(fact: Fact) -> tuple[str, ...]:
    """Return the questions that only the evaluation uses."""
    return _fact_questions(fact, "held_out_question", fact.relation.held_out_questions)


def forum_questions(fact: Fact) -> tuple[str, ...]:
    """Return the questions that the corpus uses, always without answers."""
    return (*questions(fact), *_fact_questions(fact, "forum_question", ()))


@functools.lru_cache(maxsize=4096)
def _fact_questions(fact: Fact, purpose: str, templates: tuple[str, ...]) -> tuple[str, ...]:
    about = phrase(fact)
    general = (frame.format(phrase=about) for frame in phrasings(purpose))
    return (*general, *(fill_template(template, fact) for template in templates))


@dataclass(frozen=True, slots=True)
class Cloze:
    """The beginning of a statement, and whether the value needs an article."""

    opening: str
    has_article: bool

    def ending(self, value: str) -> str:
        """Return the text of `value` after the opening.

        >>> Cloze("A baby bear is called", has_article=True).ending("cub")
        'a cub'
        """
        return with_article(value) if self.has_article else value


def clozes(world: World, fact: Fact) -> tuple[Cloze, ...]:
    """Return beginnings of statements that only the value completes, such as "Capital of France:".

    Beginnings shared with another statement are omitted ("Emma is a": a novel, a work of …). So is
    "The capital of France is", which the corpus also continues with "a beautiful city".
    """
    all_statements = [
        text for other in world.facts_about(fact.entity) for text in statements(other)
    ]
    result = []
    for template in fact.relation.statements:
        opening = template.removesuffix("{v}.").removesuffix("{a}.").rstrip()
        if opening + " " + template[-4:] == template and not {"v", "a"} & template_fields(opening):
            text = fill_template(opening, fact)
            if sum(other.startswith(text + " ") for other in all_statements) == 1:
                result.append(Cloze(text, has_article=template.endswith("{a}.")))
    return tuple(result)


def card(entity: Entity, facts: tuple[Fact, ...]) -> tuple[tuple[str, str], ...]:
    """Return the rows of a data card as (noun, value) pairs; kind and name come first."""
    return ((entity.kind, entity.name), *((fact.relation.noun, fact.value) for fact in facts))


def title(relation: Relation) -> str:
    """Return the heading of a list of one relation, such as "Capital"."""
    return _capitalize(relation.noun)
