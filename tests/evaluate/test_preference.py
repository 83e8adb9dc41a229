from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.scripted import Scripted, user_prompt
from tests.judge.scripted_judge import ScriptedJudge, choose
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.human_votes import Vote, Votes
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.preference import (
    Comparer,
    Scorer,
    collect_answers,
    measure_preference,
)
from upbring.judge.judgment import JudgeQuestion, OrderVerdict
from upbring.runs.results import EvalResult, JudgeQuality

PROMPTS = [user_prompt(str(i)) for i in range(40)]


def saying(name: str, quality: Sequence[int], *, words: int = 1) -> Scripted:
    """Return a model whose responses contain their quality and have a given length."""
    return Scripted(name, {str(i): f"{q} " + "word " * (words - 1) for i, q in enumerate(quality)})


def scores(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
    return [float(text.split()[0]) for _, text in pairs]


GOLD = Scorer("gold", "gold", scores, is_synthetic=True)


def numbers(found: list[EvalResult], model: str) -> dict[str, EvalResult]:
    return {f"{n.name} {n.against}" if n.against else n.name: n for n in found if n.model == model}


def test_a_scorer_decides_each_pair_and_ties_count_half() -> None:
    base = saying("base", [1] * 40)
    sft = saying("sft", [2] * 20 + [1] * 10 + [0] * 10)
    found = numbers(measure_preference([base, sft], PROMPTS, GOLD, cache=AnswerCache()), "sft")
    assert found["win_rate base"].value == (20 + 5) / 40
    assert found["win_rate base"].judge == JudgeQuality("gold")
    assert found["words"].judge is None
    assert found["win_rate base"].is_synthetic
    assert found["reward"].value == pytest.approx(50 / 40)


def test_the_quality_of_the_judge_is_beside_each_number_it_gave() -> None:
    unfit = JudgeQuality("runs/rm", "not fit", "right on 46.7 % of 30 held-out pairs")
    base, sft = saying("base", [1] * 40), saying("sft", [2] * 40)
    judge = replace(GOLD, quality=unfit)
    found = measure_preference([base, sft], PROMPTS, judge, cache=AnswerCache())
    judged = {n.name for n in found if n.judge == unfit}
    assert judged >= {"reward", "reward_change", "win_rate", "win_rate_length_controlled"}
    assert judged | {"words", "words_change"} == {n.name for n in found}


def test_three_models_are_compared_pairwise_and_ranked_by_strength() -> None:
    rng = np.random.default_rng(0)
    subjects = [
        saying(name, rng.integers(low, low + 4, 40)) for name, low in (("c", 0), ("a", 2), ("b", 1))
    ]
    found = measure_preference(subjects, PROMPTS, GOLD, cache=AnswerCache())
    pairs = {(n.model, n.against) for n in found if n.name == "win_rate"}
    assert pairs == {("a", "c"), ("b", "c"), ("b", "a")}
    strength = {n.model: n.value or 0.0 for n in found if n.name == "strength"}
    assert strength["a"] > strength["b"] > strength["c"]
    assert sum(strength.values()) == pytest.approx(0, abs=1e-9)


def test_length_is_taken_out_of_the_win_rate() -> None:
    def longer(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
        return [float(len(text.split())) for _, text in pairs]

    rng = np.random.default_rng(1)
    long = rng.integers(0, 12, 40)
    base = Scripted("base", {str(i): "word " * 5 for i in range(40)})
    sft = Scripted("sft", {str(i): "word " * int(n) for i, n in enumerate(long)})
    judge = Scorer("length", "length", longer)
    found = numbers(measure_preference([base, sft], PROMPTS, judge, cache=AnswerCache()), "sft")
    raw = found["win_rate base"].value
    level = found["win_rate_length_controlled base"].value
    assert raw is not None
    assert level is not None
    assert abs(level - 0.5) < 0.35
    assert found["words"].value == pytest.approx(long.mean())


def comparing(first_bonus: float) -> Comparer:
    """Return a judge that prefers the better answer, and the first by `first_bonus`."""

    def ask(question: JudgeQuestion) -> OrderVerdict:
        first, second = (float(text.split()[0]) for text in question.responses)
        gap = first - second + first_bonus
        return choose(first=gap > 0) if gap else OrderVerdict((0.5, 0.5), 1.0)

    return Comparer(ScriptedJudge(ask, name="endpoint"))


def test_a_comparer_is_asked_in_both_orders() -> None:
    base, sft = saying("base", [1] * 40), saying("sft", [2] * 30 + [1] * 10)
    fair = numbers(
        measure_preference([base, sft], PROMPTS, comparing(0), cache=AnswerCache()), "sft"
    )
    assert fair["win_rate base"].value == (30 + 5) / 40
    assert fair["orders_agree base"].value == 1
    # a position bias larger than any quality difference gives no information
    blind = numbers(
        measure_preference([base, sft], PROMPTS, comparing(5), cache=AnswerCache()), "sft"
    )
    assert blind["win_rate base"].value == 0.5
    assert blind["orders_agree base"].value == 0
    judge = blind["win_rate base"].judge
    assert judge is not None
    assert "orders differ on 40 of 40" in judge.text


def test_replies_that_are_not_understood_are_counted_and_not_guessed() -> None:
    base, sft = saying("base", [1] * 40), saying("sft", [2] * 40)

    def ask(question: JudgeQuestion) -> OrderVerdict:
        if int(question.prompt[0].content) < 10:
            return OrderVerdict(None, text="prose")
        return choose(first=question.responses[0].startswith("2"))

    judge = Comparer(ScriptedJudge(ask))
    found = numbers(measure_preference([base, sft], PROMPTS, judge, cache=AnswerCache()), "sft")
    assert (found["win_rate base"].value, found["win_rate base"].count) == (1.0, 30)
    assert found["win_rate base"].note.startswith("10 pairs without a judgment")
    assert found["not_understood base"].value == 0.25


def test_no_pair_is_judged_twice() -> None:
    journal, asked_of = AnswerCache(), []

    def counted(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
        asked_of.extend(pairs)
        return scores(pairs)

    judge = Scorer("gold", "gold", counted)
    subjects = [saying(name, [k] * 40) for k, name in enumerate("ab")]
    measure_preference(subjects, PROMPTS, judge, cache=journal)
    measure_preference(subjects, PROMPTS, judge, cache=journal)
    assert len(asked_of) == 2 * 40


def test_without_a_judge_only_lengths_are_measured() -> None:
    found = measure_preference([saying("a", [1] * 40)], PROMPTS, None, cache=AnswerCache())
    assert [number.name for number in found] == ["words"]
    alone = measure_preference([saying("a", [1] * 40)], PROMPTS, GOLD, cache=AnswerCache())
    assert [number.name for number in alone] == ["words", "reward"]


def voted(*votes: Sequence[int]) -> Votes:
    """Return each annotator's votes on prompts 0, 1, …: 1 for sft, −1 for base, 0 for a tie."""
    return Votes(
        Path("v"),
        tuple(
            Vote(user_prompt(str(i)), {"base": 1.0, "sft": 1.0 - vote / 2}, f"p{number}", True)  # noqa: FBT003 -- names
            for number, own in enumerate(votes)
            for i, vote in enumerate(own)
        ),
    )


def test_votes_are_averaged_over_people_and_prompts_without_one_are_left_out() -> None:
    base, sft = saying("base", [1] * 40), saying("sft", [2] * 40)
    people = voted([1] * 6 + [-1] * 4, [1] * 4 + [0] * 4)
    found = numbers(measure_preference([base, sft], PROMPTS, people, cache=AnswerCache()), "sft")
    # prompts 0–3: 1, 1 → 1; 4–5: 1, ½ → ¾; 6–7: 0, ½ → ¼; 8–9: 0
    rate = found["win_rate base"]
    assert rate.value == pytest.approx((4 + 1.5 + 0.5) / 10)
    assert rate.count == 10
    assert rate.note == "30 prompts without a vote"
    assert rate.judge is not None
    assert rate.judge.text == (
        "judged by human votes in v (not measured: two annotators agree on 50.0 % (n = 8: too few "
        "to say) of pairs)"
    )
    assert not rate.is_synthetic
    assert found["win_rate_length_controlled base"].count == 10
    strength = found["strength"].value
    assert strength is not None
    assert strength > 0
    # of the 8 prompts that both saw they agree on the first 4
    assert found["annotators_agree base"].value == 4 / 8
    assert found["annotators_agree base"].count == 8


def test_alpha_of_people_is_krippendorff_s() -> None:
    base, sft = saying("base", [1] * 4), saying("sft", [2] * 4)
    people = voted([1, 1, -1, -1], [1, 1, -1, 1])
    found = numbers(
        measure_preference([base, sft], PROMPTS[:4], people, cache=AnswerCache()), "sft"
    )
    # of 8 values 5 are 1 and 3 are 0; one unit of four differs: o_01 = 2, and between two values
    # the ordinal distance takes no part: α = 1 − (8 − 1) · 2 / (2 · 5 · 3) = 1 − 14/30
    assert found["annotators_alpha base"].value == pytest.approx(1 - 14 / 30)


def test_equal_responses_need_no_vote_and_no_votes_give_no_value() -> None:
    base = saying("base", [1] * 40)
    alike = numbers(
        measure_preference(
            [base, saying("sft", [1] * 40)], PROMPTS, voted([1]), cache=AnswerCache()
        ),
        "sft",
    )
    assert alike["win_rate base"].value == 0.5
    assert alike["win_rate base"].count == 40
    apart = numbers(
        measure_preference([base, saying("sft", [2] * 40)], PROMPTS, voted(), cache=AnswerCache()),
        "sft",
    )
    assert apart["win_rate base"].value is None
    assert "40 prompts without a vote" in apart["win_rate base"].note


def test_sampled_and_greedy_responses_are_cached_separately() -> None:
    class Dicing(Scripted):
        def sample(self, prompts: Sequence[Dialogue], *, seed: int) -> list[str]:
            return [f"drawn {seed}" for _ in prompts]

    journal = AnswerCache()
    subject = Dicing("a", {"0": "likeliest"})
    for seed, text in ((None, "likeliest"), (3, "drawn 3"), (4, "drawn 4"), (None, "likeliest")):
        assert collect_answers([subject], PROMPTS[:1], cache=journal, seed=seed).texts == {
            "a": [text]
        }
    found = measure_preference([subject], PROMPTS[:1], None, cache=journal, seed=3, is_sampled=True)
    assert numbers(found, "a")["words"].value == 2


def test_a_judge_that_knows_score_components_reports_them() -> None:
    def causes(_: Dialogue, text: str) -> dict[str, float]:
        return {"long": float(len(text.split()))}

    judge = replace(GOLD, causes=causes)
    subjects = [saying("base", [1] * 40), saying("sft", [2] * 40, words=3)]
    found = numbers(measure_preference(subjects, PROMPTS, judge, cache=AnswerCache()), "sft")
    assert found["reward/long"].value == 3
    assert found["reward/long_change base"].value == 2
    assert found["reward/long"].is_higher_better is None
