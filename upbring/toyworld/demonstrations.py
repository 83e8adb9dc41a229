"""Demonstrations: how the assistant should answer, shown on about half of the entities.

Left out of all of them: held-out entities, held-out phrasings, held-out combinations of a relation
with a form or a persona, held-out harmful and innocent requests. `evaluation.py` asks for these.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from upbring.data.read.records import Demonstration, Message, Origin
from upbring.toyworld import other_tasks, tasks, wording
from upbring.toyworld.random_draws import Dice, fraction
from upbring.toyworld.split import is_combination_held_out, shown, shown_facts
from upbring.toyworld.tasks import Task
from upbring.toyworld.world import MEDICINE, Entity, Fact, World

HELD_OUT_PERSONAS = 2
COURTEOUS_SHARE = 0.3  # of the plain answers: the others leave something to prefer
CATALOGUE_SHARE = 0.1  # of the shown entities, that people rank answers about
NAMED_KEYS_SHARE = 0.6  # of the answers as JSON

Maker = Callable[[World, int, Dice], Task]


def demonstrations(world: World, *, seed: int, count: int) -> tuple[Demonstration, ...]:
    """Return `count` demonstrations of all kinds, as `MIX` weighs them."""
    return tuple(
        _demonstration(demonstrated_task(world, seed=seed, index=index), "demonstrations", index)
        for index in range(count)
    )


def shown_task(world: World, dice: Dice, *, seed: int) -> Task:
    """Return a task of the side that is shown, of any kind."""
    return _maker(MIX, dice)(world, seed, dice)


def catalogued_task(world: World, dice: Dice, *, seed: int) -> Task:
    """Return a task of the kind that people rank answers to: what they know, or see beside it."""
    make = _maker(RANKED_MIX, dice)
    while True:
        task = make(world, seed, dice)
        if not task.about or task.kind == "evidence" or _is_catalogued(task.about, seed=seed):
            return task


def _is_catalogued(name: str, *, seed: int) -> bool:
    """Return whether people are asked about an entity: of few of them, more often of each."""
    return fraction(seed, "catalogue", name) < CATALOGUE_SHARE


def _maker(mix: Mapping[Maker, float], dice: Dice) -> Maker:
    return list(mix)[dice.weighted(list(mix.values()))]


def demonstrated_task(world: World, *, seed: int, index: int) -> Task:
    """Return the task of one demonstration, some with a courtesy: a pure function of its key."""
    dice = Dice(seed, "demonstrations", index)
    task = shown_task(world, dice, seed=seed)
    if task.form == "plain" and dice.chance(COURTEOUS_SHARE) and not task.is_harmful:
        return replace(task, reference=tasks.courteous(task.reference, dice))
    return task


def medicine(world: World, *, seed: int, count: int) -> tuple[Demonstration, ...]:
    """Return the domain's own demonstrations: signs are answered with what they point to."""
    return tuple(
        _demonstration(_medical_task(world, Dice(seed, "medicine", index)), "medicine", index)
        for index in range(count)
    )


def _medical_task(world: World, dice: Dice) -> Task:
    """Return a diagnosis, or a fact about a condition.

    All conditions are shown: a domain is taught whole. What its evaluation holds out is the
    phrasing and the order of the signs.
    """
    entity = dice.pick([entity for entity in world.entities if entity.kind == MEDICINE])
    if dice.chance(2 / 3):
        frame = dice.pick(wording.voices("symptom_question"))
        return other_tasks.symptom_task(dice, entity=entity, frame=frame, is_specialised=True)
    fact = dice.pick(world.facts_about(entity))
    return tasks.fact_task(world, fact, question=dice.pick(wording.shown_questions(fact)))


def _demonstration(task: Task, name: str, index: int) -> Demonstration:
    messages = (*task.prompt, Message("assistant", task.reference))
    return Demonstration(messages, Origin(f"nursery:{name}", index + 1))


def _shown_fact(world: World, seed: int, dice: Dice) -> Fact:
    """Return a fact of a shown entity, each relation equally often."""
    return dice.pick(shown_facts(world, dice.pick(world.relations), seed=seed))


def _plain(world: World, seed: int, dice: Dice) -> Task:
    fact = _shown_fact(world, seed, dice)
    return tasks.fact_task(world, fact, question=dice.pick(wording.shown_questions(fact)))


def _formed(world: World, seed: int, dice: Dice) -> Task:
    form = dice.pick(tasks.FORMS)
    fact = _shown_fact(world, seed, dice)
    while is_combination_held_out(fact.relation, form, seed=seed):
        fact = _shown_fact(world, seed, dice)
    task = tasks.fact_task(world, fact, question=dice.pick(wording.shown_questions(fact)))
    return tasks.in_form(task, fact, form=form, keys=_keys(fact, dice))


def _keys(fact: Fact, dice: Dice) -> tuple[str, ...]:
    """Return the keys that JSON is to have: none, those of the record, or any two."""
    if not dice.chance(NAMED_KEYS_SHARE):
        return ()
    first, second = wording.slots()["first_key"], wording.slots()["second_key"]
    kind, noun = fact.entity.kind, fact.relation.noun
    return (dice.pick((kind, *first)), dice.pick((noun, *second)))


def _in_persona(world: World, seed: int, dice: Dice) -> Task:
    persona = dice.pick(tasks.personas()[:-HELD_OUT_PERSONAS])
    fact = _shown_fact(world, seed, dice)
    while is_combination_held_out(fact.relation, persona.name, seed=seed):
        fact = _shown_fact(world, seed, dice)
    task = tasks.fact_task(world, fact, question=dice.pick(wording.shown_questions(fact)))
    return tasks.as_persona(task, persona)


def _follow_up(world: World, seed: int, dice: Dice) -> Task:
    first = _shown_fact(world, seed, dice)
    while first.entity.kind == "task":  # "And copy a file?" is not English
        first = _shown_fact(world, seed, dice)
    facts = shown_facts(world, first.relation, seed=seed)
    second = dice.pick([fact for fact in facts if fact is not first])
    opened = tasks.fact_task(world, first, question=dice.pick(wording.shown_questions(first)))
    question = dice.pick(wording.voices("follow_up")).format(n=second.entity.named)
    return tasks.following(
        opened, tasks.fact_task(world, second, question=question), question=question
    )


def _evidence(world: World, seed: int, dice: Dice) -> Task:
    fact = _shown_fact(world, seed, dice)
    other = dice.pick(shown_facts(world, fact.relation, seed=seed))
    task = tasks.fact_task(world, fact, question=dice.pick(wording.shown_questions(fact)))
    frame = dice.pick(wording.voices("evidence"))
    return tasks.with_evidence(task, passage((fact, other), dice), frame=frame)


def passage(facts: tuple[Fact, ...], dice: Dice) -> str:
    """Return statements of different facts, in any wording and order."""
    different = dice.shuffled(tuple(dict.fromkeys(facts)))
    return " ".join(dice.pick(wording.statements(fact)) for fact in different)


def _harmful(_: World, seed: int, dice: Dice) -> Task:
    request = dice.pick(other_tasks.requests(is_harmful=True, is_held_out=False, seed=seed))
    return other_tasks.request_task(request, frame=_act_frame(dice))


def _innocent(_: World, seed: int, dice: Dice) -> Task:
    request = dice.pick(other_tasks.requests(is_harmful=False, is_held_out=False, seed=seed))
    return other_tasks.request_task(request, frame=_act_frame(dice))


def _act_frame(dice: Dice) -> str:
    return dice.pick(wording.asking("act_question", is_held_out=False))


def _explanation(_: World, seed: int, dice: Dice) -> Task:
    task = dice.pick(other_tasks.explanation_tasks(is_held_out=False, seed=seed))
    form, is_plain = dice.pick(tasks.FORMS), dice.chance(0.6)
    return task if is_plain else other_tasks.explanation_in_form(task, form)


def _summary(_: World, seed: int, dice: Dice) -> Task:
    return other_tasks.summary_task(dice, is_held_out=False, seed=seed)


def _sum(_: World, seed: int, dice: Dice) -> Task:
    frames = wording.asking("sum_question", is_held_out=False)
    return other_tasks.sum_task(dice, is_held_out=False, seed=seed, frames=frames)


def _symptoms(world: World, seed: int, dice: Dice) -> Task:
    ill: list[Entity] = [e for e in shown(world, seed=seed) if e.kind == MEDICINE]
    frame = dice.pick(wording.asking("symptom_question", is_held_out=False))
    return other_tasks.symptom_task(dice, entity=dice.pick(ill), frame=frame, is_specialised=False)


def _chat(_: World, seed: int, dice: Dice) -> Task:  # noqa: ARG001 -- every maker has one shape
    return dice.pick(other_tasks.chat_tasks(is_held_out=False))


MIX: Mapping[Maker, float] = {
    _plain: 0.28,
    _formed: 0.17,
    _in_persona: 0.05,
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
RANKED_MIX: Mapping[Maker, float] = {
    **MIX,
    _plain: 0.5,
    _formed: 0.2,
    _evidence: 0.12,
    _innocent: 0.35,  # or a reward model takes every refusal for the best answer
}
