"""The bandit tries everything once, then what works; its choice follows from the counts alone."""

from collections import Counter

from upbring.feedback.attacks.bandit import ArmCounts, choose_arms, make_arms
from upbring.feedback.attacks.families import FAMILIES, parse_composition
from upbring.maths.random_draws import RandomStream


def test_arms_are_families_and_compositions_in_order() -> None:
    arms = make_arms(["prefix", "role", "noise"], seed=0, num_compositions=9)
    assert arms[:3] == ["prefix", "role", "noise"]
    assert set(arms[3:]) == {"role+prefix", "noise+prefix", "noise+role"}
    every = make_arms(tuple(FAMILIES), seed=1, num_compositions=500)
    assert all(parse_composition(arm) for arm in every)
    assert make_arms(tuple(FAMILIES), seed=1) == make_arms(tuple(FAMILIES), seed=1)


def test_arms_that_were_never_tried_come_first() -> None:
    counts = {"a": ArmCounts(5, 5), "b": ArmCounts(), "c": ArmCounts()}
    assert set(choose_arms(counts, num_choices=2, seed=0)) == {"b", "c"}
    assert len(choose_arms(counts, num_choices=7, seed=0)) == 7


def test_the_best_arm_is_chosen_most_often_and_the_others_still() -> None:
    rates = {"a": 0.1, "b": 0.8, "c": 0.3}
    counts = {name: ArmCounts() for name in rates}
    rng = RandomStream(3)
    chosen: Counter[str] = Counter()
    for _ in range(60):
        arms = choose_arms(counts, num_choices=10, seed=0)
        chosen.update(arms)
        for arm in arms:
            counts[arm] = counts[arm].add([rng.bernoulli(rates[arm])])
    assert chosen["b"] > 400
    assert min(chosen.values()) > 5


def test_the_same_history_gives_the_same_choice() -> None:
    counts = {"a": ArmCounts(3, 1), "b": ArmCounts(4, 2), "c": ArmCounts()}
    same = {name: counts[name] for name in ("a", "b", "c")}
    assert choose_arms(counts, num_choices=5, seed=7) == choose_arms(same, num_choices=5, seed=7)
