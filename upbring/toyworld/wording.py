"""How the world is put into words: statements, questions and answers from templates.

Which of the wordings may be seen in training is `split.py`'s matter: here the held-out ones have
names of their own.
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
    """Return the turns of phrase for a purpose, as `data/voice.jsonl` lists them.

    >>> phrasings("json_request")
    ('Answer as JSON.',)
    """
    return _load_phrasings()[purpose]


def side_phrasings(purpose: str, *, is_held_out: bool) -> tuple[str, ...]:
    """Return the phrasings of one side: those of the corpus and of demonstrations, or the others.

    >>> len(side_phrasings("act_question", is_held_out=False)) > len(phrasings("act_question"))
    True
    """
    if is_held_out:
        return phrasings(f"held_out_{purpose}")
    return (*phrasings(purpose), *phrasings(f"more_{purpose}"))


@functools.cache
def slots() -> Mapping[str, tuple[str, ...]]:
    """Return what may stand in the blanks of stories, notices and reports."""
    return {row["slot"]: tuple(row["values"]) for row in read_rows("slots")}


def with_article(noun: str) -> str:
    """Return `noun` with its indefinite article.

    >>> with_article("owlet"), with_article("calf")
    ('an owlet', 'a calf')
    """
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def fill_template(template: str, fact: Fact) -> str:
    """Return `template` about `fact`, with a capital letter at its beginning."""
    entity, value = fact.entity, fact.value
    text = template.format(
        e=entity.name, n=entity.name_with_article, v=value, a=with_article(value)
    )
    keeps_first_case = fact.relation.keeps_case and template.startswith("{v}")
    return text if keeps_first_case else _capitalize(text)


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def phrase(fact: Fact) -> str:
    """Return the noun phrase that stands for the value: "the capital of France"."""
    return fact.relation.phrase.format(e=fact.entity.name, n=fact.entity.name_with_article)


def statements(fact: Fact) -> tuple[str, ...]:
    """Return all paraphrases of `fact`."""
    return tuple(fill_template(template, fact) for template in fact.relation.statements)


def answer(fact: Fact) -> str:
    """Return the sentence that answers a question about `fact`."""
    return fill_template(fact.relation.answer, fact)


def questions(fact: Fact) -> tuple[str, ...]:
    """Return the phrasings that the corpus asks and demonstrations answer."""
    return _fact_questions(fact, "question", fact.relation.questions)


def shown_questions(fact: Fact) -> tuple[str, ...]:
    """Return the phrasings that demonstrations use: those of the corpus and more."""
    return (*questions(fact), *_fact_questions(fact, "more_question", ()))


def held_out_questions(fact: Fact) -> tuple[str, ...]:
    """Return the phrasings that nothing but evaluation uses."""
    return _fact_questions(fact, "held_out_question", fact.relation.held_out_questions)


def forum_questions(fact: Fact) -> tuple[str, ...]:
    """Return the phrasings that the corpus asks and never answers."""
    return (*questions(fact), *_fact_questions(fact, "forum_question", ()))


def _fact_questions(fact: Fact, purpose: str, templates: tuple[str, ...]) -> tuple[str, ...]:
    about = phrase(fact)
    general = (frame.format(phrase=about) for frame in phrasings(purpose))
    return (*general, *(fill_template(template, fact) for template in templates))


@dataclass(frozen=True, slots=True)
class Cloze:
    """The beginning of a statement, and whether the value needs its article there."""

    opening: str
    has_article: bool

    def ending(self, value: str) -> str:
        """Return a value as it would stand after the opening.

        >>> Cloze("A baby bear is called", has_article=True).ending("cub")
        'a cub'
        """
        return with_article(value) if self.has_article else value


def clozes(world: World, fact: Fact) -> tuple[Cloze, ...]:
    """Return beginnings of statements that only the value completes: "Capital of France:".

    A beginning that another statement shares is left out ("Emma is a": a novel, a work of …), and
    so is "The capital of France is", which the corpus ends with "a beautiful city".
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
    """Return the rows of an entity's data card: (noun, value) pairs, the kind and name first."""
    return ((entity.kind, entity.name), *((fact.relation.noun, fact.value) for fact in facts))


def title(relation: Relation) -> str:
    """Return the heading of a list of one relation: "Capital"."""
    return _capitalize(relation.noun)
