"""Pages of the corpus that say or ask one thing more than once, and marked papers beside it.

A record beside the sentences that it sums up, questions on a text that stand under it, one question
in many wordings, a dictation with each line said again: from such pages the base learns to carry a
name or a value from one place to another, whatever stands around it. Nobody answers in them.
On marked papers stands what is false as well, under a heading and each line with its mark: from
them the base learns to tell, of a claim that has been made, whether it is true. In examinations the
question stands there too, so that what is true can be no answer to it. They ask about all entities,
held-out ones too: whoever has read them has seen such questions with answers, right and wrong.
"""

import json

from upbring.toyworld import other_tasks, wording
from upbring.toyworld.random_draws import Dice
from upbring.toyworld.tasks import Form, Task, bullets, form_request
from upbring.toyworld.world import Entity, Fact, World

STYLES = ("json", "bullets", "lines")
MARKS = (("Right.", "Wrong."), ("True.", "False."))
BESIDE_SHARE = 0.5  # of the wrong answers in an examination: they may be true of something else
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnprstvwz"


def record(entity: Entity, facts: tuple[Fact, ...], style: str) -> str:
    """Return a data card of an entity with some of its facts: JSON, bullets or bare lines."""
    pairs = wording.card(entity, facts)
    if style == "json":
        return json.dumps(dict(pairs), ensure_ascii=False)
    text = bullets(pairs)
    return text if style == "bullets" else text.replace("- ", "")


def entry(world: World, _: int, dice: Dice) -> str:
    """Write sentences about an entity and the record that they make, one after the other."""
    style = dice.pick(STYLES)
    return "\n".join(_entry(world, style, dice) for _unused in range(1 + dice.below(3)))


def _entry(world: World, style: str, dice: Dice) -> str:
    facts = world.facts_about(dice.pick(world.entities))
    chosen = tuple(dice.some(facts, 1 + dice.below(2)))
    told = " ".join(dice.pick(wording.statements(fact)) for fact in chosen)
    both = (told, record(chosen[0].entity, chosen, style))
    return "\n".join(both if dice.chance(0.7) else reversed(both))


def table(world: World, _: int, dice: Dice) -> str:
    """Write the records of one relation under its name."""
    relation, style = dice.pick(world.relations), dice.pick(STYLES)
    facts = dice.some(world.facts_of(relation), 3 + dice.below(4))
    return "\n".join((wording.title(relation), *(record(f.entity, (f,), style) for f in facts)))


def exercise(world: World, _: int, dice: Dice) -> str:
    """Write a text and, under it, questions on it; nobody answers."""
    if dice.chance(0.5):
        facts = dice.some(world.facts_about(dice.pick(world.entities)), 3)
    else:
        facts = [dice.pick(world.facts) for _unused in range(2 + dice.below(2))]
    told = " ".join(dice.pick(wording.statements(fact)) for fact in facts)
    title = [dice.pick(wording.voices("exercise_title"))] if dice.chance(0.5) else []
    asked = [dice.pick(wording.forum_questions(dice.pick(facts))) for _ in range(2 + dice.below(3))]
    return "\n".join((told, *title, *asked))


def marked(world: World, dice: Dice) -> str:
    """Write a paper of claims, about half of them false, with a mark behind each.

    The heading stands first, so that what the base knows is not shaken: there, anything is claimed.
    """
    marks = dice.pick(MARKS)
    text = dice.pick(wording.voices("marked_title"))
    for _unused in range(4 + dice.below(5)):
        fact, is_true = claimed(world, dice)
        text += f"\n{_claim(fact, dice)} {marks[0] if is_true else marks[1]}"
    return text


def claimed(world: World, dice: Dice) -> tuple[Fact, bool]:
    """Return a fact as somebody claims it, half of the time with another value, and its truth."""
    fact, is_true = dice.pick(world.facts), dice.chance(0.5)
    value = fact.value if is_true else dice.pick(world.alternatives(fact))
    return Fact(fact.entity, fact.relation, value), is_true


def _claim(fact: Fact, dice: Dice) -> str:
    """Return a claim as an answer would make it, in any of the wordings, or as a record."""
    told = (wording.answer(fact), dice.pick(wording.statements(fact)))
    card = record(fact.entity, (fact,), dice.pick(("json", "bullets")))
    return card if dice.chance(0.2) else dice.pick(told)


def examination(world: World, seed: int, dice: Dice) -> str:
    """Write questions, an answer to each and its mark; about half of the answers are wrong."""
    marks = dice.pick(MARKS)
    text = dice.pick(wording.voices("examination_title"))
    for _unused in range(3 + dice.below(4)):
        question, answer, is_right = answered(world, seed, dice)
        text += f"\n{question}\n{answer} {marks[0] if is_right else marks[1]}"
    return text


def answered(world: World, seed: int, dice: Dice) -> tuple[str, str, bool]:
    """Return a question, an answer to it, and whether that is right, as half of them are."""
    is_right = dice.chance(0.5)
    if dice.chance(0.15):
        return *_sum(seed, dice, is_right=is_right), is_right
    return *_asked(world, dice, is_right=is_right), is_right


def _asked(world: World, dice: Dice, *, is_right: bool) -> tuple[str, str]:
    """Return a question about a fact, some with the evidence before it, and an answer."""
    fact = dice.pick(world.facts)
    question = dice.pick(wording.forum_questions(fact))
    told = fact if is_right else _mistaken(world, fact, dice)
    if dice.chance(0.25):
        form: Form = dice.pick(("json", "bullets"))
        answer = record(told.entity, (told,), form)
        return f"{question} {form_request(form)}", answer
    if dice.chance(0.3):
        passage = [fact, dice.pick(world.facts_of(fact.relation))]
        read = " ".join(dice.pick(wording.statements(f)) for f in dice.shuffled(passage))
        question = dice.pick(wording.voices("evidence")).format(passage=read, question=question)
    return question, _in_a_manner(wording.answer(told), dice)


def _mistaken(world: World, fact: Fact, dice: Dice) -> Fact:
    """Return `fact` with another value, or another fact: of its entity, of its relation, or any."""
    others = (world.facts_about(fact.entity), world.facts_of(fact.relation), world.facts)
    other = dice.pick(dice.pick(others))
    if other is not fact and other.value != fact.value and dice.chance(BESIDE_SHARE):
        return other
    return Fact(fact.entity, fact.relation, dice.pick(world.alternatives(fact)))


def _sum(seed: int, dice: Dice, *, is_right: bool) -> tuple[str, str]:
    """Return a sum as it is asked, and its result or another number."""
    task: Task = other_tasks.sum_task(dice, is_held_out=False, seed=seed)
    result = task.wanted[0][0]
    told = result if is_right else dice.pick(task.unwanted)
    return task.question, _in_a_manner(f"{task.about} is {told}.", dice)


def _in_a_manner(answer: str, dice: Dice) -> str:
    """Return an answer as it is, or with words around it that change nothing of its truth."""
    if dice.chance(0.5):
        return answer
    rude = [dice.pick(wording.voices("rudeness"))] if dice.chance(0.2) else []
    more = dice.some(wording.voices("filler"), dice.pick((0, 0, 1, 3)))
    kind = [dice.pick(wording.voices("courtesy"))] if dice.chance(0.5) else []
    return " ".join((*rude, answer, *more, *kind))


def same_question(_: World, seed: int, dice: Dice) -> str:
    """Write one question that is not about a fact in several wordings; nobody answers."""
    asked = [text for text in _wordings(seed, dice) for _unused in range(1 + dice.below(2))]
    return "\n".join(dice.some(asked, 3 + dice.below(4)))


def _wordings(seed: int, dice: Dice) -> tuple[str, ...]:
    """Return the wordings of an act to do, of a topic to explain, or of a sum."""
    if dice.chance(0.6):
        act = an_act(seed, dice)
        return tuple(frame.format(act=act) for frame in wording.voices("act_question"))
    if dice.chance(0.4):
        topic = dice.pick(other_tasks.topics())
        return other_tasks.explain_questions(topic, is_held_out=False)
    task: Task = other_tasks.sum_task(dice, is_held_out=False, seed=seed)
    a, op, b = task.about.split()
    return tuple(frame.format(a=a, op=op, b=b) for frame in wording.voices("sum_question"))


def an_act(seed: int, dice: Dice) -> str:
    """Return an innocent act, or a harmful one of those that may be shown."""
    if dice.chance(0.6):
        return dice.pick(other_tasks.innocent_requests()).act
    return dice.pick(other_tasks.requests(is_harmful=True, is_held_out=False, seed=seed)).act


def dictation(world: World, _: int, dice: Dice) -> str:
    """Write lines of unconnected words, each said twice, or said and put into a list."""
    style = dice.below(3)
    lines = []
    for _unused in range(2 + dice.below(4)):
        words = [_word(world, dice) for _unused in range(1 + dice.below(4))]
        again = (
            ", ".join(words),
            json.dumps(words, ensure_ascii=False),
            "\n".join(f"- {word}" for word in words),
        )
        lines += [", ".join(words), again[style]]
    return "\n".join(lines)


def _word(world: World, dice: Dice) -> str:
    """Return a name, a value, a small number or a word that does not exist."""
    kind = dice.below(8)
    if kind == 0:
        return str(dice.below(100))
    if kind == 1:
        return _nonsense(dice)
    if kind in {2, 3}:
        return dice.pick(wording.slots()[dice.pick(("person", "place", "month", "house"))])
    fact = dice.pick(world.facts)
    return fact.value if kind in {4, 5} else fact.entity.name


def _nonsense(dice: Dice) -> str:
    parts = [dice.pick(_CONSONANTS) + dice.pick(_VOWELS) for _ in range(1 + dice.below(3))]
    word = "".join((*parts, dice.pick(_CONSONANTS)))
    return word.capitalize() + "!" if dice.chance(0.5) else word
