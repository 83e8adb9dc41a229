import numpy as np
import pytest

from upbring.errors import InputError
from upbring.evaluate.reward_health import RewardHealth, assess_reward_model, find_faults
from upbring.evaluate.worthless_responses import ProbeScores
from upbring.maths.statistics import Estimate

COUNT = 150
RANKS = [np.arange(1.0, 5.0)] * COUNT


def scored(skill: float, *, seed: int = 0, spread: float = 1.0) -> list[np.ndarray]:
    """Return noisy scores of rankings; they decrease by `skill` per rank."""
    noise = np.random.default_rng(seed).normal(0, 1.0, (COUNT, 4))
    return [spread * (skill * np.array([1.5, 0.5, -0.5, -1.5]) + row) for row in noise]


def number(found: RewardHealth, name: str) -> float:
    value = next(each.value for each in found.list_results() if each.name == name)
    assert value is not None
    return value


def probed(gap: float, kind: str = "empty") -> ProbeScores:
    good = np.random.default_rng(3).normal(0, 1, 60)
    return ProbeScores(good, {kind: good + gap})


def test_a_reward_that_guesses_is_not_fit() -> None:
    found = assess_reward_model(scored(0.0), RANKS)
    assert found.verdict == "not fit"
    assert number(found, "pair_accuracy") == pytest.approx(0.5, abs=0.05)
    assert found.reasons[0].startswith("pair accuracy ")
    assert "is not significantly above chance; train on more rankings" in found.reasons[0]
    assert found.format_lines()[0] == "reward model: not fit for PPO"


def test_a_reward_that_orders_well_is_fit() -> None:
    found = assess_reward_model(scored(0.9), RANKS, probes=probed(-2.0))
    assert (found.verdict, found.reasons) == ("fit", ())
    assert number(found, "pair_accuracy") > 0.75
    assert number(found, "rank_correlation") > 0.4
    assert number(found, "beaten_by_empty") == 0
    assert len(found.chosen) == len(found.rejected) == COUNT
    assert found.chosen.mean() > found.rejected.mean() + 1
    assert sum(each.count for each in found.bins) == COUNT * 6


def test_slightly_above_chance_is_not_fit_even_with_many_pairs() -> None:
    found = dict.fromkeys(
        ("pair_accuracy", "annotator_agreement"), Estimate(0.53, 0.52, 0.54, 10_000)
    )
    assert next(find_faults(found)).startswith("pair accuracy 53.0% (52.0% … 54.0%) is below 55%")


@pytest.mark.parametrize("kind", ["empty", "repeated", "copied", "spam"])
def test_a_worthless_response_that_wins_gives_not_fit(kind: str) -> None:
    found = assess_reward_model(scored(0.9), RANKS, probes=probed(+1.0, kind))
    assert found.verdict == "not fit"
    assert found.reasons[0] == (
        f"{kind} responses score above the good one in 100% of prompts; "
        "add such responses to the rankings with the worst rank"
    )


def test_a_worthless_response_that_sometimes_wins_gives_use_with_care() -> None:
    good = np.zeros(20)
    bad = np.where(np.arange(20) < 4, 1.0, -1.0)
    found = assess_reward_model(scored(0.9), RANKS, probes=ProbeScores(good, {"spam": bad}))
    assert found.verdict == "use with care"
    assert found.reasons == ("spam responses score above the good one in 20% of prompts",)


def test_a_truncated_response_above_the_whole_gives_use_with_care() -> None:
    found = assess_reward_model(scored(0.9), RANKS, probes=probed(0.5, "truncated"))
    assert found.reasons == ("half a response scores above the whole in 100% of prompts",)


def test_few_pairs_give_use_with_care() -> None:
    pairs = [s[:2] for s in scored(1.6)[:60]]
    found = assess_reward_model(pairs, [r[:2] for r in RANKS[:60]])
    assert found.verdict == "use with care"
    assert found.reasons[0] == "only 60 held-out pairs; hold out 100 or more"


def test_fewer_than_twenty_rankings_are_too_few_for_a_verdict() -> None:
    found = assess_reward_model(scored(0.9)[:10], RANKS[:10])
    assert found.verdict == "not measured"
    assert found.reasons[0] == (
        "10 held-out rankings are too few to say whether it is better than chance; hold out 20 or "
        "more"
    )


def test_miscalibrated_scores_give_use_with_care() -> None:
    found = assess_reward_model(scored(0.7, spread=20.0), RANKS)
    assert found.verdict == "use with care"
    assert found.reasons[0].startswith("it is overconfident; divide its scores by ")
    timid = assess_reward_model(scored(1.5, spread=0.05), RANKS)
    assert timid.reasons[0].startswith("it is underconfident; divide its scores by 0.")


def test_a_length_bias_that_annotators_do_not_have_gives_use_with_care() -> None:
    rng = np.random.default_rng(6)
    texts = [[" ".join(["word"] * int(n)) for n in rng.integers(1, 30, 4)] for _ in range(COUNT)]
    lengths = [np.array([len(t.split()) for t in row]) for row in texts]
    scores = [s + 0.15 * n for s, n in zip(scored(1.6), lengths, strict=True)]
    found = assess_reward_model(scores, RANKS, texts=texts)
    assert any(reason.startswith("its scores increase with length (") for reason in found.reasons)
    # no warning if the annotators prefer length as much
    ranks = [np.argsort(np.argsort(-s)) + 1.0 for s in scores]
    assert not any(
        "length" in reason for reason in assess_reward_model(scores, ranks, texts=texts).reasons
    )


def test_an_accuracy_far_from_the_annotator_agreement_gives_a_warning() -> None:
    rng = np.random.default_rng(7)
    texts = [[f"{g}{letter}" for letter in "abcd"] for g in range(COUNT) for _ in range(2)]
    noisy = [np.argsort(np.argsort(np.arange(4) + rng.normal(0, 1.5, 4))) + 1.0 for _ in texts]
    people = ["ann", "bob"] * COUNT
    known = [-ranks + 0.0 for ranks in noisy]  # as if it were trained on these votes
    leak = assess_reward_model(known, noisy, annotators=people, texts=texts)
    assert any("which is too good; look for held-out rows" in each for each in leak.reasons)
    truth = assess_reward_model(
        [-np.arange(4.0)] * len(texts), noisy, annotators=people, texts=texts
    )
    assert number(truth, "pair_accuracy") > number(truth, "annotator_agreement") + 0.05
    assert not any("too good" in each for each in truth.reasons)
    alike = [np.arange(1.0, 5.0)] * (2 * COUNT)
    weak = scored(0.35) + scored(0.35, seed=1)
    found = assess_reward_model(weak, alike, annotators=people, texts=texts)
    assert any("more training can help" in reason for reason in found.reasons)


def test_the_report_names_each_number_with_its_interval() -> None:
    found = assess_reward_model(
        scored(0.9), RANKS, model="rm", is_synthetic=True, probes=probed(-1.0)
    )
    text = "\n".join(found.format_lines())
    for name in ("pair_accuracy ", "calibration_error", "beaten_by_empty"):
        assert name in text
    assert all(each.is_synthetic and each.model == "rm" for each in found.list_results())
    assert found.format_lines()[1] == "  ranked by simulated annotators: not evidence about people"
    assert not any(
        "simulated" in line for line in assess_reward_model(scored(0.9), RANKS).format_lines()
    )
    assert all(each.suite == "reward_health" for each in found.list_results())


def test_scores_that_are_not_finite_are_rejected() -> None:
    with pytest.raises(InputError, match=r"held-out ranking 2: has a score that is not finite"):
        assess_reward_model([np.ones(2), np.array([np.nan, 1])], [np.array([1.0, 2])] * 2)


def test_rankings_with_only_ties_are_rejected() -> None:
    with pytest.raises(InputError, match="contain only ties; hold out rankings"):
        assess_reward_model([np.array([1.0, 2.0])], [np.array([1.0, 1.0])])


def test_the_same_seed_gives_the_same_report() -> None:
    assert (
        assess_reward_model(scored(0.5), RANKS).format_lines()
        == assess_reward_model(scored(0.5), RANKS).format_lines()
    )
