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
from upbring.toyworld.random_draws import RandomStream
from upbring.toyworld.tasks import Form, Task, bullets, form_request
from upbring.toyworld.world import Entity, Fact, World

STYLES = ("json", "bullets", "lines")
MARKS = (("Right.", "Wrong."), ("True.", "False."))
OFF_TOPIC_SHARE = 0.5  # of the wrong answers in an examination: they may be true of something else
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnprstvwz"


def record(entity: Entity, facts: tuple[Fact, ...], style: str) -> str:
    """Return a data card of an entity with some of its facts: JSON, bullets or bare lines."""
    pairs = wording.card(entity, facts)
    if style == "json":
        return json.dumps(dict(pairs), ensure_ascii=False)
    text = bullets(pairs)
    return text if style == "bullets" else text.replace("- ", "")


def entry(world: World, _: int, rng: RandomStream) -> str:
    """Write sentences about an entity and the record that they make, one after the other."""
    style = rng.choice(STYLES)
    return "\n".join(_entry(world, style, rng) for _unused in range(1 + rng.randbelow(3)))


def _entry(world: World, style: str, rng: RandomStream) -> str:
    facts = world.facts_about(rng.choice(world.entities))
    chosen = tuple(rng.sample(facts, 1 + rng.randbelow(2)))
    statements = " ".join(rng.choice(wording.statements(fact)) for fact in chosen)
    parts = (statements, record(chosen[0].entity, chosen, style))
    return "\n".join(parts if rng.bernoulli(0.7) else reversed(parts))


def table(world: World, _: int, rng: RandomStream) -> str:
    """Write the records of one relation under its name."""
    relation, style = rng.choice(world.relations), rng.choice(STYLES)
    facts = rng.sample(world.facts_of(relation), 3 + rng.randbelow(4))
    return "\n".join((wording.title(relation), *(record(f.entity, (f,), style) for f in facts)))


def exercise(world: World, _: int, rng: RandomStream) -> str:
    """Write a text and, under it, questions on it; nobody answers."""
    if rng.bernoulli(0.5):
        facts = rng.sample(world.facts_about(rng.choice(world.entities)), 3)
    else:
        facts = [rng.choice(world.facts) for _unused in range(2 + rng.randbelow(2))]
    passage = " ".join(rng.choice(wording.statements(fact)) for fact in facts)
    title = [rng.choice(wording.phrasings("exercise_title"))] if rng.bernoulli(0.5) else []
    questions = [
        rng.choice(wording.forum_questions(rng.choice(facts))) for _ in range(2 + rng.randbelow(3))
    ]
    return "\n".join((passage, *title, *questions))


def marked_claims(world: World, rng: RandomStream) -> str:
    """Write a paper of claims, about half of them false, with a mark behind each.

    The heading stands first, so that what the base knows is not shaken: there, anything is claimed.
    """
    marks = rng.choice(MARKS)
    text = rng.choice(wording.phrasings("marked_title"))
    for _unused in range(4 + rng.randbelow(5)):
        fact, is_true = sample_claim(world, rng)
        text += f"\n{_claim(fact, rng)} {marks[0] if is_true else marks[1]}"
    return text


def sample_claim(world: World, rng: RandomStream) -> tuple[Fact, bool]:
    """Return a fact as somebody claims it, half of the time with another value, and its truth."""
    fact, is_true = rng.choice(world.facts), rng.bernoulli(0.5)
    value = fact.value if is_true else rng.choice(world.alternatives(fact))
    return Fact(fact.entity, fact.relation, value), is_true


def _claim(fact: Fact, rng: RandomStream) -> str:
    """Return a claim as an answer would make it, in any of the wordings, or as a record."""
    sentences = (wording.answer(fact), rng.choice(wording.statements(fact)))
    card = record(fact.entity, (fact,), rng.choice(("json", "bullets")))
    return card if rng.bernoulli(0.2) else rng.choice(sentences)


def examination(world: World, seed: int, rng: RandomStream) -> str:
    """Write questions, an answer to each and its mark; about half of the answers are wrong."""
    marks = rng.choice(MARKS)
    text = rng.choice(wording.phrasings("examination_title"))
    for _unused in range(3 + rng.randbelow(4)):
        question, answer, is_right = sample_answered_question(world, seed, rng)
        text += f"\n{question}\n{answer} {marks[0] if is_right else marks[1]}"
    return text


def sample_answered_question(world: World, seed: int, rng: RandomStream) -> tuple[str, str, bool]:
    """Return a question, an answer to it, and whether that is right, as half of them are."""
    is_right = rng.bernoulli(0.5)
    if rng.bernoulli(0.15):
        return *_sample_sum(seed, rng, is_right=is_right), is_right
    return *_sample_fact_answer(world, rng, is_right=is_right), is_right


def _sample_fact_answer(world: World, rng: RandomStream, *, is_right: bool) -> tuple[str, str]:
    """Return a question about a fact, some with the evidence before it, and an answer."""
    fact = rng.choice(world.facts)
    question = rng.choice(wording.forum_questions(fact))
    answered_fact = fact if is_right else _wrong_fact(world, fact, rng)
    if rng.bernoulli(0.25):
        form: Form = rng.choice(("json", "bullets"))
        answer = record(answered_fact.entity, (answered_fact,), form)
        return f"{question} {form_request(form)}", answer
    if rng.bernoulli(0.3):
        passage = [fact, rng.choice(world.facts_of(fact.relation))]
        passage_text = " ".join(rng.choice(wording.statements(f)) for f in rng.shuffled(passage))
        question = rng.choice(wording.phrasings("evidence")).format(
            passage=passage_text, question=question
        )
    return question, _add_small_talk(wording.answer(answered_fact), rng)


def _wrong_fact(world: World, fact: Fact, rng: RandomStream) -> Fact:
    """Return `fact` with another value, or another fact: of its entity, of its relation, or any."""
    pools = (world.facts_about(fact.entity), world.facts_of(fact.relation), world.facts)
    other = rng.choice(rng.choice(pools))
    if other is not fact and other.value != fact.value and rng.bernoulli(OFF_TOPIC_SHARE):
        return other
    return Fact(fact.entity, fact.relation, rng.choice(world.alternatives(fact)))


def _sample_sum(seed: int, rng: RandomStream, *, is_right: bool) -> tuple[str, str]:
    """Return a sum as it is asked, and its result or another number."""
    task: Task = other_tasks.sum_task(rng, is_held_out=False, seed=seed)
    result = task.wanted[0][0]
    stated = result if is_right else rng.choice(task.unwanted)
    return task.question, _add_small_talk(f"{task.about} is {stated}.", rng)


def _add_small_talk(answer: str, rng: RandomStream) -> str:
    """Return an answer as it is, or with words around it that change nothing of its truth."""
    if rng.bernoulli(0.5):
        return answer
    insult = [rng.choice(wording.phrasings("rudeness"))] if rng.bernoulli(0.2) else []
    fillers = rng.sample(wording.phrasings("filler"), rng.choice((0, 0, 1, 3)))
    courtesy = [rng.choice(wording.phrasings("courtesy"))] if rng.bernoulli(0.5) else []
    return " ".join((*insult, answer, *fillers, *courtesy))


def same_question(_: World, seed: int, rng: RandomStream) -> str:
    """Write one question that is not about a fact in several wordings; nobody answers."""
    questions = [text for text in _wordings(seed, rng) for _unused in range(1 + rng.randbelow(2))]
    return "\n".join(rng.sample(questions, 3 + rng.randbelow(4)))


def _wordings(seed: int, rng: RandomStream) -> tuple[str, ...]:
    """Return the wordings of an act to do, of a topic to explain, or of a sum."""
    if rng.bernoulli(0.6):
        act = sample_act(seed, rng)
        return tuple(frame.format(act=act) for frame in wording.phrasings("act_question"))
    if rng.bernoulli(0.4):
        topic = rng.choice(other_tasks.topics())
        return other_tasks.explain_questions(topic, is_held_out=False)
    task: Task = other_tasks.sum_task(rng, is_held_out=False, seed=seed)
    a, op, b = task.about.split()
    return tuple(frame.format(a=a, op=op, b=b) for frame in wording.phrasings("sum_question"))


def sample_act(seed: int, rng: RandomStream) -> str:
    """Return an innocent act, or a harmful one of those that may be shown."""
    if rng.bernoulli(0.6):
        return rng.choice(other_tasks.innocent_requests()).act
    return rng.choice(other_tasks.requests(is_harmful=True, is_held_out=False, seed=seed)).act


def dictation(world: World, _: int, rng: RandomStream) -> str:
    """Write lines of unconnected words, each said twice, or said and put into a list."""
    style = rng.randbelow(3)
    lines = []
    for _unused in range(2 + rng.randbelow(4)):
        words = [_word(world, rng) for _unused in range(1 + rng.randbelow(4))]
        repeated = (
            ", ".join(words),
            json.dumps(words, ensure_ascii=False),
            "\n".join(f"- {word}" for word in words),
        )
        lines += [", ".join(words), repeated[style]]
    return "\n".join(lines)


def _word(world: World, rng: RandomStream) -> str:
    """Return a name, a value, a small number or a word that does not exist."""
    kind = rng.randbelow(8)
    if kind == 0:
        return str(rng.randbelow(100))
    if kind == 1:
        return _nonsense(rng)
    if kind in {2, 3}:
        return rng.choice(wording.slots()[rng.choice(("person", "place", "month", "house"))])
    fact = rng.choice(world.facts)
    return fact.value if kind in {4, 5} else fact.entity.name


def _nonsense(rng: RandomStream) -> str:
    parts = [rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(1 + rng.randbelow(3))]
    word = "".join((*parts, rng.choice(_CONSONANTS)))
    return word.capitalize() + "!" if rng.bernoulli(0.5) else word
