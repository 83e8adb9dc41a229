"""Simulated annotators: noisy versions of the gold reward, with optional biases.

All of them are marked as synthetic. Each annotator perturbs the weights of the gold reward
(`grading.py`) and adds Plackett–Luce noise. Two annotators agree on 72–77 % of pairs, as in
InstructGPT (arXiv 2203.02155). Biases are off by default.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from upbring.data.read.records import SYNTHETIC_PREFIX, Comparison, Origin
from upbring.maths.random_draws import RandomStream
from upbring.rules.lengths import num_words
from upbring.toyworld.candidates import candidates, off_topic_answers
from upbring.toyworld.demonstrations import ranking_task
from upbring.toyworld.grading import WEIGHTS, grade
from upbring.toyworld.tasks import Task
from upbring.toyworld.world import World

NOISE = 1.3  # annotators agree on 75 % of the toy world's pairs on average, 72 to 77 % by seed
WEIGHT_SPREAD = 0.2  # standard deviation of log(weight) across annotators
MIN_RESPONSES, MAX_RESPONSES = 4, 9  # per ranking, as in InstructGPT
NUM_OFF_TOPIC_TASKS = 8  # other tasks whose references may serve as off-topic responses


@dataclass(frozen=True, slots=True)
class Biases:
    """Biases of an annotator; each value is an amount of reward that is added.

    `long`: per ten words. `polite`: for a fully polite response. `left`: for the first response,
    decreasing linearly to 0 for the last.
    """

    long: float = 0.0
    polite: float = 0.0
    left: float = 0.0


@dataclass(frozen=True, slots=True)
class Annotator:
    """One simulated annotator: a weight per cause, a noise level, biases and a seed."""

    name: str
    weights: tuple[tuple[str, float], ...]
    noise: float
    seed: int
    biases: Biases = Biases()

    def rank(self, task: Task, responses: Sequence[str], *, index: int) -> tuple[int, ...]:
        """Return the rank of each response; 1 is best, and identical texts share a rank.

        `index` selects the noise: another index may give another ranking.
        """
        rng = RandomStream(self.seed, "rank", self.name, index)
        scores: dict[str, float] = {}
        for position, response in enumerate(responses):
            noise = self.noise * rng.gumbel()
            left_bonus = self.biases.left * (1.0 - position / max(1, len(responses) - 1))
            scores.setdefault(response, self.score(task, response) + left_bonus + noise)
        order = sorted(scores, key=lambda response: -scores[response])
        ranks = {response: rank for rank, response in enumerate(order, start=1)}
        return tuple(ranks[response] for response in responses)

    def prefer(
        self, task: Task, left: str, *, right: str, index: int
    ) -> Literal["left", "right", "tie"]:
        """Return the preferred side."""
        first, second = self.rank(task, (left, right), index=index)
        return "tie" if first == second else "left" if first < second else "right"

    def score(self, task: Task, response: str) -> float:
        """Return the annotator's reward, without noise and position bias."""
        graded = grade(task, response)
        reward = sum(weight * graded.score_of(cause) for cause, weight in self.weights)
        bias = self.biases.long * num_words(response) / 10 + self.biases.polite * graded.polite
        return reward + bias


def annotators(*, seed: int, count: int = 5, biases: Biases | None = None) -> tuple[Annotator, ...]:
    """Return `count` annotators with individually perturbed weights and noise levels."""
    group = []
    for number in range(count):
        rng = RandomStream(seed, "annotator", number)
        weights = tuple(
            (cause, weight * math.exp(WEIGHT_SPREAD * rng.normal()))
            for cause, weight in WEIGHTS.items()
        )
        noise = NOISE * math.exp(WEIGHT_SPREAD * rng.normal())
        name = f"{SYNTHETIC_PREFIX}-{number + 1}"
        group.append(Annotator(name, weights, noise, seed, biases or Biases()))
    return tuple(group)


@functools.lru_cache(maxsize=1024)  # annotators with different biases rank the same responses
def task_with_candidates(world: World, *, seed: int, index: int) -> tuple[Task, tuple[str, ...]]:
    """Return a task and its K = 4 … 9 responses; they do not depend on the annotator."""
    rng = RandomStream(seed, "rankings", index)
    task = ranking_task(world, rng, seed=seed)
    sampled_tasks = (
        ranking_task(world, RandomStream(seed, "beside", index, number), seed=seed)
        for number in range(NUM_OFF_TOPIC_TASKS)
    )
    count = MIN_RESPONSES + rng.randbelow(MAX_RESPONSES - MIN_RESPONSES + 1)
    return task, candidates(
        task, count=count, rng=rng, off_topic=off_topic_answers(task, sampled_tasks)
    )


def rankings(
    world: World, group: Sequence[Annotator], *, seed: int, count: int
) -> tuple[Comparison, ...]:
    """Return `count` rankings; the annotators alternate."""
    return tuple(
        _ranking(world, group[index % len(group)], seed=seed, index=index) for index in range(count)
    )


def _ranking(world: World, annotator: Annotator, *, seed: int, index: int) -> Comparison:
    task, responses = task_with_candidates(world, seed=seed, index=index)
    ranks = annotator.rank(task, responses, index=index)
    return Comparison(
        prompt=task.prompt,
        responses=responses,
        ranks=tuple(float(rank) for rank in ranks),
        origin=Origin("toyworld:rankings", index + 1),
        annotator=annotator.name,
    )


def agreement(world: World, group: Sequence[Annotator], *, seed: int, count: int) -> float:
    """Return the share of response pairs that two annotators order the same way."""
    num_agreed = num_pairs = 0
    for index in range(count):
        task, responses = task_with_candidates(world, seed=seed, index=index)
        ranks = [annotator.rank(task, responses, index=index) for annotator in group]
        for first_ranks, second_ranks in combinations(ranks, 2):
            for i, j in combinations(range(len(responses)), 2):
                num_agreed += (first_ranks[i] < first_ranks[j]) == (
                    second_ranks[i] < second_ranks[j]
                )
                num_pairs += 1
    return num_agreed / num_pairs
