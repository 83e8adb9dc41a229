"""Corpus documents that repeat content, plus marked claims and examinations.

Documents that state or ask the same thing more than once (a record next to its sentences, questions
below a text, one question in many wordings, a dictation that repeats each line) teach the base
model to copy names and values. They contain no answers to questions.

Marked claims and examinations are separate files. They also contain false statements; a heading
announces them, and a mark follows each. They teach the base model to recognize whether a claim is
true and, in examinations, whether it answers the question. Examinations cover all entities,
including held-out ones, so a model trained on them has seen answers to such questions, right and
wrong.
"""

import json

from upbring.maths.random_draws import RandomStream
from upbring.toyworld import other_tasks, wording
from upbring.toyworld.tasks import Form, Task, bullets, form_request
from upbring.toyworld.world import Entity, Fact, World

STYLES = ("json", "bullets", "lines")
MARKS = (("Right.", "Wrong."), ("True.", "False."))
OFF_TOPIC_SHARE = 0.5  # of the wrong examination answers; they state another fact, a true one
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnprstvwz"


def record(entity: Entity, facts: tuple[Fact, ...], style: str) -> str:
    """Return a data card of an entity with some of its facts, as JSON, bullets or lines."""
    pairs = wording.card(entity, facts)
    if style == "json":
        return json.dumps(dict(pairs), ensure_ascii=False)
    text = bullets(pairs)
    return text if style == "bullets" else text.replace("- ", "")


def entry(world: World, _: int, rng: RandomStream) -> str:
    """Write sentences about an entity and the record with the same facts."""
    style = rng.choice(STYLES)
    return "\n".join(_entry(world, style, rng) for _unused in range(1 + rng.randbelow(3)))


def _entry(world: World, style: str, rng: RandomStream) -> str:
    facts = world.facts_about(rng.choice(world.entities))
    chosen = tuple(rng.sample(facts, 1 + rng.randbelow(2)))
    statements = " ".join(rng.choice(wording.statements(fact)) for fact in chosen)
    parts = (statements, record(chosen[0].entity, chosen, style))
    return "\n".join(parts if rng.bernoulli(0.7) else reversed(parts))


def table(world: World, _: int, rng: RandomStream) -> str:
    """Write records of one relation under its name."""
    relation, style = rng.choice(world.relations), rng.choice(STYLES)
    facts = rng.sample(world.facts_of(relation), 3 + rng.randbelow(4))
    return "\n".join((wording.title(relation), *(record(f.entity, (f,), style) for f in facts)))


def exercise(world: World, _: int, rng: RandomStream) -> str:
    """Write a text followed by unanswered questions about it."""
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
    """Write a page of claims, about half of them false, each followed by its mark.

    The heading signals that claims may be false, so that they do not corrupt the model's knowledge.
    """
    marks = rng.choice(MARKS)
    text = rng.choice(wording.phrasings("marked_title"))
    for _unused in range(4 + rng.randbelow(5)):
        fact, is_true = sample_claim(world, rng)
        text += f"\n{_claim(fact, rng)} {marks[0] if is_true else marks[1]}"
    return text


def sample_claim(world: World, rng: RandomStream) -> tuple[Fact, bool]:
    """Return a claimed fact, in half of the cases with a wrong value, and whether it is true."""
    fact, is_true = rng.choice(world.facts), rng.bernoulli(0.5)
    value = fact.value if is_true else rng.choice(world.alternatives(fact))
    return Fact(fact.entity, fact.relation, value), is_true


def _claim(fact: Fact, rng: RandomStream) -> str:
    """Return a claim as text: the wording of an answer, another statement, or a record."""
    sentences = (wording.answer(fact), rng.choice(wording.statements(fact)))
    card = record(fact.entity, (fact,), rng.choice(("json", "bullets")))
    return card if rng.bernoulli(0.2) else rng.choice(sentences)


def examination(world: World, seed: int, rng: RandomStream) -> str:
    """Write questions, each with an answer and its mark; about half of the answers are wrong."""
    marks = rng.choice(MARKS)
    text = rng.choice(wording.phrasings("examination_title"))
    for _unused in range(3 + rng.randbelow(4)):
        question, answer, is_right = sample_answered_question(world, seed, rng)
        text += f"\n{question}\n{answer} {marks[0] if is_right else marks[1]}"
    return text


def sample_answered_question(world: World, seed: int, rng: RandomStream) -> tuple[str, str, bool]:
    """Return a question, an answer, and whether it is right, which half of them are."""
    is_right = rng.bernoulli(0.5)
    if rng.bernoulli(0.15):
        return *_sample_sum(seed, rng, is_right=is_right), is_right
    return *_sample_fact_answer(world, rng, is_right=is_right), is_right


def _sample_fact_answer(world: World, rng: RandomStream, *, is_right: bool) -> tuple[str, str]:
    """Return a question about a fact, sometimes with evidence in the prompt, and an answer."""
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
    """Return `fact` with a wrong value, or another fact: of its entity, its relation, or any."""
    pools = (world.facts_about(fact.entity), world.facts_of(fact.relation), world.facts)
    other = rng.choice(rng.choice(pools))
    if other is not fact and other.value != fact.value and rng.bernoulli(OFF_TOPIC_SHARE):
        return other
    return Fact(fact.entity, fact.relation, rng.choice(world.alternatives(fact)))


def _sample_sum(seed: int, rng: RandomStream, *, is_right: bool) -> tuple[str, str]:
    """Return a question about a sum, and an answer with the right or a wrong result."""
    task: Task = other_tasks.sum_task(rng, is_held_out=False, seed=seed)
    result = task.wanted[0][0]
    stated = result if is_right else rng.choice(task.unwanted)
    return task.question, _add_small_talk(f"{task.about} is {stated}.", rng)


def _add_small_talk(answer: str, rng: RandomStream) -> str:
    """Return the answer unchanged, or with small talk that does not affect its correctness."""
    if rng.bernoulli(0.5):
        return answer
    insult = [rng.choice(wording.phrasings("rudeness"))] if rng.bernoulli(0.2) else []
    fillers = rng.sample(wording.phrasings("filler"), rng.choice((0, 0, 1, 3)))
    courtesy = [rng.choice(wording.phrasings("courtesy"))] if rng.bernoulli(0.5) else []
    return " ".join((*insult, answer, *fillers, *courtesy))


def same_question(_: World, seed: int, rng: RandomStream) -> str:
    """Write one unanswered question, not about a fact, in several wordings."""
    questions = [text for text in _wordings(seed, rng) for _unused in range(1 + rng.randbelow(2))]
    return "\n".join(rng.sample(questions, 3 + rng.randbelow(4)))


def _wordings(seed: int, rng: RandomStream) -> tuple[str, ...]:
    """Return all wordings of one question: how to do an act, an explanation, or a sum."""
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
    """Return a harmless act, or a harmful one that is not held out."""
    if rng.bernoulli(0.6):
        return rng.choice(other_tasks.innocent_requests()).act
    return rng.choice(other_tasks.requests(is_harmful=True, is_held_out=False, seed=seed)).act


def dictation(world: World, _: int, rng: RandomStream) -> str:
    """Write lines of unrelated words, each followed by a copy: as text, JSON or bullets."""
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
    """Return a name, a value, a small number or a made-up word."""
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
