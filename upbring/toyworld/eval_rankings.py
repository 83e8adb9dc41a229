"""Rankings for evaluation, by the gold reward: what a learned reward model is compared with.

Four sets, each of prompts that no ranking of the training file has: the same facts in new
phrasings, facts of entities that no ranking names (there a reward model may be blind to truth),
questions about such entities with the evidence beside them, and manners. Every answer carries its
reward and what each cause says of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from upbring.toyworld import eval_sets, tasks, wording
from upbring.toyworld.annotators import FEWEST, MOST, OTHERS, ranked_task
from upbring.toyworld.candidates import beside, candidates
from upbring.toyworld.grading import CAUSES, Grade, grade
from upbring.toyworld.random_draws import Dice
from upbring.toyworld.split import held_out
from upbring.toyworld.tasks import Task
from upbring.toyworld.world import Fact, World

SIZE = 150
MANNERS = ("forms", "harmful", "innocent", "summaries", "red-team")
_MOST_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Judged:
    """A task, its answers, and the gold grade of each."""

    task: Task
    responses: tuple[str, ...]
    grades: tuple[Grade, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        """The rank of each answer by the gold reward: 1 is best, equal rewards share a rank."""
        rewards = [grade.reward for grade in self.grades]
        order = sorted(set(rewards), reverse=True)
        return tuple(order.index(reward) + 1 for reward in rewards)


def judged_sets(world: World, *, seed: int, num_ranked: int) -> Mapping[str, tuple[Judged, ...]]:
    """Return the sets by name; `num_ranked` rankings were made to train on."""
    known = _ranked_facts(world, seed=seed, count=num_ranked)
    absent = [f for entity in held_out(world, seed=seed) for f in world.facts_about(entity)]
    sets = eval_sets.task_sets(world, seed=seed)
    manners = [task for name in MANNERS for task in sets[name]]
    makers: Mapping[str, Callable[[Dice], Task]] = {
        "rankings-shown-entities": lambda dice: _asked(world, dice.pick(known), dice),
        "rankings-absent-entities": lambda dice: _asked(world, dice.pick(absent), dice),
        "rankings-evidence": lambda dice: eval_sets.with_evidence(world, dice.pick(absent), dice),
        "rankings-manners": lambda dice: dice.pick(manners),
    }
    return {name: _judged(make, name, seed=seed) for name, make in makers.items()}


def as_row(judged: Judged) -> dict[str, Any]:
    """Return a ranking as a row that `upbring` reads, the gold rewards beside it."""
    return {
        **tasks.as_row(judged.task),
        "responses": list(judged.responses),
        "ranks": list(judged.ranks),
        "rewards": [grade.reward for grade in judged.grades],
        "causes": [{cause: grade.of(cause) for cause in CAUSES} for grade in judged.grades],
    }


def _asked(world: World, fact: Fact, dice: Dice) -> Task:
    return tasks.fact_task(world, fact, question=dice.pick(wording.held_out_questions(fact)))


def _ranked_facts(world: World, *, seed: int, count: int) -> list[Fact]:
    """Return the facts that rankings of the training file are about, in the world's order."""
    ranked = {
        (task.about, task.wanted)
        for task, _ in (ranked_task(world, seed=seed, index=index) for index in range(count))
    }
    return [fact for fact in world.facts if (fact.entity.name, ((fact.value,),)) in ranked]


def _judged(make: Callable[[Dice], Task], name: str, *, seed: int) -> tuple[Judged, ...]:
    found: dict[str, Judged] = {}
    for index in range(_MOST_DRAWS):
        dice = Dice(seed, "judged", name, index)
        task = make(dice)
        drawn = (make(Dice(seed, "beside", name, index, number)) for number in range(OTHERS))
        count = FEWEST + dice.below(MOST - FEWEST + 1)
        responses = candidates(task, count=count, dice=dice, others=beside(task, drawn))
        grades = tuple(grade(task, response) for response in responses)
        if len({one.reward for one in grades}) > 1:
            found.setdefault(task.question, Judged(task, responses, grades))
        if len(found) == SIZE:
            break
    return tuple(found.values())
