"""Evaluation rankings by the gold reward, to compare a trained reward model with.

There are four sets of prompts that do not occur in the training rankings: the same facts in new
phrasings; facts about entities that no training ranking mentions, whose truth a reward model may
not know; questions about such entities with evidence in the prompt; and style and refusals. Each
response has its gold reward and its grade for each cause.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from upbring.maths.random_draws import RandomStream
from upbring.toyworld import eval_sets, tasks, wording
from upbring.toyworld.annotators import (
    MAX_RESPONSES,
    MIN_RESPONSES,
    NUM_OFF_TOPIC_TASKS,
    task_with_candidates,
)
from upbring.toyworld.candidates import candidates, off_topic_answers
from upbring.toyworld.grading import CAUSES, Grade, grade
from upbring.toyworld.split import held_out_entities
from upbring.toyworld.tasks import Task
from upbring.toyworld.world import Fact, World

SIZE = 150
MANNER_SETS = ("forms", "harmful", "innocent", "summaries", "red-team")
_MAX_DRAWS = 2000


@dataclass(frozen=True, slots=True)
class GoldRanking:
    """A task, responses to it, and the gold grade of each."""

    task: Task
    responses: tuple[str, ...]
    grades: tuple[Grade, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        """The rank of each response by gold reward; 1 is best, and equal rewards share a rank."""
        rewards = [grade.reward for grade in self.grades]
        order = sorted(set(rewards), reverse=True)
        return tuple(order.index(reward) + 1 for reward in rewards)


def gold_ranking_sets(
    world: World, *, seed: int, num_ranked: int
) -> Mapping[str, tuple[GoldRanking, ...]]:
    """Return the evaluation sets by name; `num_ranked` is the number of training rankings."""
    ranked_facts = _ranked_facts(world, seed=seed, count=num_ranked)
    absent_facts = [
        f for entity in held_out_entities(world, seed=seed) for f in world.facts_about(entity)
    ]
    sets = eval_sets.task_sets(world, seed=seed)
    manner_tasks = [task for name in MANNER_SETS for task in sets[name]]
    makers: Mapping[str, Callable[[RandomStream], Task]] = {
        "rankings-shown-entities": lambda rng: _held_out_question(
            world, rng.choice(ranked_facts), rng
        ),
        "rankings-absent-entities": lambda rng: _held_out_question(
            world, rng.choice(absent_facts), rng
        ),
        "rankings-evidence": lambda rng: eval_sets.with_evidence(
            world, rng.choice(absent_facts), rng
        ),
        "rankings-manners": lambda rng: rng.choice(manner_tasks),
    }
    return {name: _sample_gold_rankings(make, name, seed=seed) for name, make in makers.items()}


def as_row(ranking: GoldRanking) -> dict[str, Any]:
    """Return a ranking as a JSON row in a format that `upbring` reads, with gold rewards."""
    return {
        **tasks.as_row(ranking.task),
        "responses": list(ranking.responses),
        "ranks": list(ranking.ranks),
        "rewards": [grade.reward for grade in ranking.grades],
        "causes": [{cause: grade.score_of(cause) for cause in CAUSES} for grade in ranking.grades],
    }


def _held_out_question(world: World, fact: Fact, rng: RandomStream) -> Task:
    return tasks.fact_task(world, fact, question=rng.choice(wording.held_out_questions(fact)))


def _ranked_facts(world: World, *, seed: int, count: int) -> list[Fact]:
    """Return the facts that the training rankings are about, in the order of the world."""
    ranked = {
        (task.about, task.wanted)
        for task, _ in (
            task_with_candidates(world, seed=seed, index=index) for index in range(count)
        )
    }
    return [fact for fact in world.facts if (fact.entity.name, ((fact.value,),)) in ranked]


def _sample_gold_rankings(
    make: Callable[[RandomStream], Task], name: str, *, seed: int
) -> tuple[GoldRanking, ...]:
    by_question: dict[str, GoldRanking] = {}
    for index in range(_MAX_DRAWS):
        rng = RandomStream(seed, "judged", name, index)
        task = make(rng)
        sampled_tasks = (
            make(RandomStream(seed, "beside", name, index, number))
            for number in range(NUM_OFF_TOPIC_TASKS)
        )
        count = MIN_RESPONSES + rng.randbelow(MAX_RESPONSES - MIN_RESPONSES + 1)
        responses = candidates(
            task, count=count, rng=rng, off_topic=off_topic_answers(task, sampled_tasks)
        )
        grades = tuple(grade(task, response) for response in responses)
        if len({one.reward for one in grades}) > 1:
            by_question.setdefault(task.question, GoldRanking(task, responses, grades))
        if len(by_question) == SIZE:
            break
    return tuple(by_question.values())
