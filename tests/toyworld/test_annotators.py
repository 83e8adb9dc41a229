from dataclasses import replace

import pytest

from upbring.toyworld.annotators import (
    Biases,
    agreement,
    annotators,
    rankings,
    task_with_candidates,
)
from upbring.toyworld.grading import grade
from upbring.toyworld.tasks import fact_task
from upbring.toyworld.world import load_world

WORLD = load_world()
GROUP = annotators(seed=0)
FACT = next(fact for fact in WORLD.facts if fact.key == "country/France/capital")
TASK = fact_task(WORLD, FACT, question="What is the capital of France?")
SHORT, LONG = "It is Paris.", "It is Paris. " + "There is much more to say about it. " * 4


def test_two_annotators_agree_as_often_as_people_do() -> None:
    # InstructGPT: 72.6 ± 1.5 % among training labelers, 77.3 ± 1.3 % among held-out ones.
    # The bounds of a single group allow for the standard errors of both.
    shares = [agreement(WORLD, annotators(seed=s), seed=s, count=60) for s in range(4)]
    assert all(0.70 <= share <= 0.79 for share in shares)
    assert 0.72 <= sum(shares) / len(shares) <= 0.77


def test_without_noise_and_with_the_gold_weights_the_order_is_gold() -> None:
    gold = replace(annotators(seed=0)[0], noise=0.0, weights=_gold_weights())
    task, responses = task_with_candidates(WORLD, seed=0, index=3)
    ranks = gold.rank(task, responses, index=0)
    by_rank = [response for _, response in sorted(zip(ranks, responses, strict=True))]
    rewards = [grade(task, response).reward for response in by_rank]
    assert rewards == sorted(rewards, reverse=True)


def _gold_weights() -> tuple[tuple[str, float], ...]:
    from upbring.toyworld.grading import WEIGHTS  # noqa: PLC0415 -- next to its only use

    return tuple(WEIGHTS.items())


def test_rankings_are_permutations_of_four_to_nine_by_all_annotators() -> None:
    made = rankings(WORLD, GROUP, seed=0, count=50)
    for ranking in made:
        assert sorted(ranking.ranks) == list(range(1, len(ranking.responses) + 1))
        assert 4 <= len(ranking.responses) <= 9
    assert {ranking.annotator for ranking in made} == {person.name for person in GROUP}
    assert all(person.name.startswith("synthetic") for person in GROUP)


def test_the_same_seed_gives_the_same_rankings() -> None:
    again = rankings(WORLD, annotators(seed=0), seed=0, count=20)
    assert again == rankings(WORLD, GROUP, seed=0, count=20)
    assert again != rankings(WORLD, annotators(seed=1), seed=0, count=20)


def test_the_same_text_gets_the_same_rank() -> None:
    assert GROUP[0].rank(TASK, (SHORT, LONG, SHORT), index=0)[::2] in {(1, 1), (2, 2)}
    assert GROUP[0].prefer(TASK, SHORT, right=SHORT, index=0) == "tie"


def share_of_left(biases: Biases, left: str, right: str) -> float:
    person = annotators(seed=0, count=1, biases=biases)[0]
    return sum(person.prefer(TASK, left, right=right, index=i) == "left" for i in range(200)) / 200


@pytest.mark.parametrize(
    ("biases", "left", "right"),
    [
        (Biases(long=2.0), LONG, SHORT),
        (Biases(polite=12.0), "Gladly. It is Rome.", SHORT),
        (Biases(left=4.0), "It is Paris!", SHORT),
    ],
)
def test_a_bias_changes_the_preference(biases: Biases, left: str, right: str) -> None:
    without = share_of_left(Biases(), left, right)
    assert without < 0.6
    assert share_of_left(biases, left, right) > max(0.8, without + 0.25)
