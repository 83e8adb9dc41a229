"""How the world is put into words: statements, questions and answers from templates.

Which of the wordings may be seen in training is `split.py`'s matter: here the held-out ones have
names of their own.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from upbring.toyworld.world import Entity, Fact, Relation, World, fields, rows


@functools.cache
def _voices() -> Mapping[str, tuple[str, ...]]:
    voices: dict[str, tuple[str, ...]] = {}
    for row in rows("voice"):
        voices[row["purpose"]] = (*voices.get(row["purpose"], ()), row["text"])
    return voices


def voices(purpose: str) -> tuple[str, ...]:
    """Return the turns of phrase for a purpose, as `data/voice.jsonl` lists them.

    >>> voices("json_request")
    ('Answer as JSON.',)
    """
    return _voices()[purpose]


def asking(purpose: str, *, is_held_out: bool) -> tuple[str, ...]:
    """Return the phrasings of one side: those of the corpus and of demonstrations, or the others.

    >>> len(asking("act_question", is_held_out=False)) > len(voices("act_question"))
    True
    """
    if is_held_out:
        return voices(f"held_out_{purpose}")
    return (*voices(purpose), *voices(f"more_{purpose}"))


@functools.cache
def slots() -> Mapping[str, tuple[str, ...]]:
    """Return what may stand in the blanks of stories, notices and reports."""
    return {row["slot"]: tuple(row["values"]) for row in rows("slots")}


def with_article(noun: str) -> str:
    """Return `noun` with its indefinite article.

    >>> with_article("owlet"), with_article("calf")
    ('an owlet', 'a calf')
    """
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def say(template: str, fact: Fact) -> str:
    """Return `template` about `fact`, with a capital letter at its beginning."""
    entity, value = fact.entity, fact.value
    text = template.format(e=entity.name, n=entity.named, v=value, a=with_article(value))
    begins_literally = fact.relation.literal and template.startswith("{v}")
    return text if begins_literally else _capital(text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def phrase(fact: Fact) -> str:
    """Return the noun phrase that stands for the value: "the capital of France"."""
    return fact.relation.phrase.format(e=fact.entity.name, n=fact.entity.named)


def statements(fact: Fact) -> tuple[str, ...]:
    """Return all paraphrases of `fact`."""
    return tuple(say(template, fact) for template in fact.relation.statements)


def answer(fact: Fact) -> str:
    """Return the sentence that answers a question about `fact`."""
    return say(fact.relation.answer, fact)


def questions(fact: Fact) -> tuple[str, ...]:
    """Return the phrasings that the corpus asks and demonstrations answer."""
    return _phrasings(fact, "question", fact.relation.questions)


def shown_questions(fact: Fact) -> tuple[str, ...]:
    """Return the phrasings that demonstrations use: those of the corpus and more."""
    return (*questions(fact), *_phrasings(fact, "more_question", ()))


def held_out_questions(fact: Fact) -> tuple[str, ...]:
    """Return the phrasings that nothing but evaluation uses."""
    return _phrasings(fact, "held_out_question", fact.relation.held_out)


def forum_questions(fact: Fact) -> tuple[str, ...]:
    """Return the phrasings that the corpus asks and never answers."""
    return (*questions(fact), *_phrasings(fact, "forum_question", ()))


def _phrasings(fact: Fact, purpose: str, own: tuple[str, ...]) -> tuple[str, ...]:
    about = phrase(fact)
    general = (frame.format(phrase=about) for frame in voices(purpose))
    return (*general, *(say(template, fact) for template in own))


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
    told = [text for other in world.facts_about(fact.entity) for text in statements(other)]
    found = []
    for template in fact.relation.statements:
        opening = template.removesuffix("{v}.").removesuffix("{a}.").rstrip()
        if opening + " " + template[-4:] == template and not {"v", "a"} & fields(opening):
            text = say(opening, fact)
            if sum(other.startswith(text + " ") for other in told) == 1:
                found.append(Cloze(text, has_article=template.endswith("{a}.")))
    return tuple(found)


def card(entity: Entity, facts: tuple[Fact, ...]) -> tuple[tuple[str, str], ...]:
    """Return the rows of an entity's data card: (noun, value) pairs, the kind and name first."""
    return ((entity.kind, entity.name), *((fact.relation.noun, fact.value) for fact in facts))


def title(relation: Relation) -> str:
    """Return the heading of a list of one relation: "Capital"."""
    return _capital(relation.noun)
