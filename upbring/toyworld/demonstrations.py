"""Demonstrations for SFT: dialogues that cover about half of the entities.

They contain no held-out entities, phrasings, requests, or combinations of a relation with a form
or persona. `eval_sets.py` evaluates on those.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from upbring.data.read.records import Demonstration, Message, Origin
from upbring.maths.random_draws import RandomStream, hash_to_uniform
from upbring.toyworld import other_tasks, tasks, wording
from upbring.toyworld.split import is_combination_held_out, shown_entities, shown_facts
from upbring.toyworld.tasks import Task
from upbring.toyworld.world import MEDICAL_KIND, Entity, Fact, World

HELD_OUT_PERSONAS = 2
COURTEOUS_SHARE = 0.3  # of the plain answers, so that preference training can improve courtesy
RANKED_ENTITY_SHARE = 0.1  # of the shown entities; rankings are about these
NAMED_KEYS_SHARE = 0.6  # of the JSON answers; their prompt names the keys

TaskMaker = Callable[[World, int, RandomStream], Task]


def demonstrations(world: World, *, seed: int, count: int) -> tuple[Demonstration, ...]:
    """Return `count` demonstrations of all kinds, with the proportions of `MIX`."""
    return tuple(
        _demonstration(demonstration_task(world, seed=seed, index=index), "demonstrations", index)
        for index in range(count)
    )


def shown_task(world: World, rng: RandomStream, *, seed: int) -> Task:
    """Return a task of any kind from the shown (not held-out) part of the toy world."""
    return _sample_maker(MIX, rng)(world, seed, rng)


def ranking_task(world: World, rng: RandomStream, *, seed: int) -> Task:
    """Return a task for a ranking; its fact is of a ranked entity or has evidence in the prompt."""
    make = _sample_maker(RANKED_MIX, rng)
    while True:
        task = make(world, seed, rng)
        if not task.about or task.kind == "evidence" or _is_ranked_entity(task.about, seed=seed):
            return task


def _is_ranked_entity(name: str, *, seed: int) -> bool:
    """Return whether rankings are about this entity: few entities, each of them often."""
    return hash_to_uniform(seed, "catalogue", name) < RANKED_ENTITY_SHARE


def _sample_maker(mix: Mapping[TaskMaker, float], rng: RandomStream) -> TaskMaker:
    return list(mix)[rng.weighted_index(list(mix.values()))]


def demonstration_task(world: World, *, seed: int, index: int) -> Task:
    """Return the task of one demonstration, a pure function of (seed, index)."""
    rng = RandomStream(seed, "demonstrations", index)
    task = shown_task(world, rng, seed=seed)
    if task.form == "plain" and rng.bernoulli(COURTEOUS_SHARE) and not task.is_harmful:
        return replace(task, reference=tasks.add_courtesy(task.reference, rng))
    return task


def medicine(world: World, *, seed: int, count: int) -> tuple[Demonstration, ...]:
    """Return demonstrations of the medical domain: questions about signs get a diagnosis."""
    return tuple(
        _demonstration(
            _medical_task(world, RandomStream(seed, "medicine", index)), "medicine", index
        )
        for index in range(count)
    )


def _medical_task(world: World, rng: RandomStream) -> Task:
    """Return a diagnosis task, or a fact about a condition.

    All conditions are included. The evaluation of this domain holds out the phrasings and the order
    of the signs instead.
    """
    entity = rng.choice([entity for entity in world.entities if entity.kind == MEDICAL_KIND])
    if rng.bernoulli(2 / 3):
        frame = rng.choice(wording.phrasings("symptom_question"))
        return other_tasks.symptom_task(rng, entity=entity, frame=frame, is_specialized=True)
    fact = rng.choice(world.facts_about(entity))
    return tasks.fact_task(world, fact, question=rng.choice(wording.shown_questions(fact)))


def _demonstration(task: Task, name: str, index: int) -> Demonstration:
    messages = (*task.prompt, Message("assistant", task.reference))
    return Demonstration(messages, Origin(f"toyworld:{name}", index + 1))


def _shown_fact(world: World, seed: int, rng: RandomStream) -> Fact:
    """Return a fact of a shown entity; all relations are equally likely."""
    return rng.choice(shown_facts(world, rng.choice(world.relations), seed=seed))


def _plain_fact(world: World, seed: int, rng: RandomStream) -> Task:
    fact = _shown_fact(world, seed, rng)
    return tasks.fact_task(world, fact, question=rng.choice(wording.shown_questions(fact)))


def _with_form(world: World, seed: int, rng: RandomStream) -> Task:
    form = rng.choice(tasks.FORMS)
    fact = _shown_fact(world, seed, rng)
    while is_combination_held_out(fact.relation, form, seed=seed):
        fact = _shown_fact(world, seed, rng)
    task = tasks.fact_task(world, fact, question=rng.choice(wording.shown_questions(fact)))
    return tasks.with_form(task, fact, form=form, keys=_keys(fact, rng))


def _keys(fact: Fact, rng: RandomStream) -> tuple[str, ...]:
    """Return the keys that the JSON answer must have: none, the record's own, or two others."""
    if not rng.bernoulli(NAMED_KEYS_SHARE):
        return ()
    first, second = wording.slots()["first_key"], wording.slots()["second_key"]
    kind, noun = fact.entity.kind, fact.relation.noun
    return (rng.choice((kind, *first)), rng.choice((noun, *second)))


def _with_persona(world: World, seed: int, rng: RandomStream) -> Task:
    persona = rng.choice(tasks.personas()[:-HELD_OUT_PERSONAS])
    fact = _shown_fact(world, seed, rng)
    while is_combination_held_out(fact.relation, persona.name, seed=seed):
        fact = _shown_fact(world, seed, rng)
    task = tasks.fact_task(world, fact, question=rng.choice(wording.shown_questions(fact)))
    return tasks.with_persona(task, persona)


def _follow_up(world: World, seed: int, rng: RandomStream) -> Task:
    first = _shown_fact(world, seed, rng)
    while first.entity.kind == "task":  # "And copy a file?" is not English
        first = _shown_fact(world, seed, rng)
    facts = shown_facts(world, first.relation, seed=seed)
    second = rng.choice([fact for fact in facts if fact is not first])
    first_task = tasks.fact_task(world, first, question=rng.choice(wording.shown_questions(first)))
    question = rng.choice(wording.phrasings("follow_up")).format(n=second.entity.name_with_article)
    return tasks.as_follow_up(
        first_task, tasks.fact_task(world, second, question=question), question=question
    )


def _evidence(world: World, seed: int, rng: RandomStream) -> Task:
    fact = _shown_fact(world, seed, rng)
    other = rng.choice(shown_facts(world, fact.relation, seed=seed))
    task = tasks.fact_task(world, fact, question=rng.choice(wording.shown_questions(fact)))
    frame = rng.choice(wording.phrasings("evidence"))
    return tasks.with_evidence(task, passage((fact, other), rng), frame=frame)


def passage(facts: tuple[Fact, ...], rng: RandomStream) -> str:
    """Return one statement for each distinct fact, in random wording and order."""
    different = rng.shuffled(tuple(dict.fromkeys(facts)))
    return " ".join(rng.choice(wording.statements(fact)) for fact in different)


def _harmful(_: World, seed: int, rng: RandomStream) -> Task:
    request = rng.choice(other_tasks.requests(is_harmful=True, is_held_out=False, seed=seed))
    return other_tasks.request_task(request, frame=_act_frame(rng))


def _innocent(_: World, seed: int, rng: RandomStream) -> Task:
    request = rng.choice(other_tasks.requests(is_harmful=False, is_held_out=False, seed=seed))
    return other_tasks.request_task(request, frame=_act_frame(rng))


def _act_frame(rng: RandomStream) -> str:
    return rng.choice(wording.side_phrasings("act_question", is_held_out=False))


def _explanation(_: World, seed: int, rng: RandomStream) -> Task:
    task = rng.choice(other_tasks.explanation_tasks(is_held_out=False, seed=seed))
    form, is_plain = rng.choice(tasks.FORMS), rng.bernoulli(0.6)
    return task if is_plain else other_tasks.explanation_with_form(task, form)


def _summary(_: World, seed: int, rng: RandomStream) -> Task:
    return other_tasks.summary_task(rng, is_held_out=False, seed=seed)


def _sum(_: World, seed: int, rng: RandomStream) -> Task:
    frames = wording.side_phrasings("sum_question", is_held_out=False)
    return other_tasks.sum_task(rng, is_held_out=False, seed=seed, frames=frames)


def _symptoms(world: World, seed: int, rng: RandomStream) -> Task:
    conditions: list[Entity] = [
        e for e in shown_entities(world, seed=seed) if e.kind == MEDICAL_KIND
    ]
    frame = rng.choice(wording.side_phrasings("symptom_question", is_held_out=False))
    return other_tasks.symptom_task(
        rng, entity=rng.choice(conditions), frame=frame, is_specialized=False
    )


def _chat(_: World, seed: int, rng: RandomStream) -> Task:  # noqa: ARG001 -- a TaskMaker
    return rng.choice(other_tasks.chat_tasks(is_held_out=False))


MIX: Mapping[TaskMaker, float] = {
    _plain_fact: 0.28,
    _with_form: 0.17,
    _with_persona: 0.05,
    _follow_up: 0.03,
    _evidence: 0.03,
    _harmful: 0.08,
    _innocent: 0.2,
    _explanation: 0.07,
    _summary: 0.04,
    _sum: 0.06,
    _symptoms: 0.03,
    _chat: 0.02,
}
RANKED_MIX: Mapping[TaskMaker, float] = {
    **MIX,
    _plain_fact: 0.5,
    _with_form: 0.2,
    _evidence: 0.12,
    _innocent: 0.35,  # otherwise a reward model learns to prefer every refusal
}
