"""The verdict on runs that are told by a few numbers."""

from upbring.runs.metrics import MetricsRecord
from upbring.stages.reward_hacking import CheckpointChoice, summarize_run


def records(*rows: dict[str, float]) -> list[MetricsRecord]:
    usual = {"kl": 1.0, "length": 20.0, "ended": 1.0, "gain_error": 0.05}
    return [
        MetricsRecord(step=10 * i, kind="held_out", time=0.0, values={**usual, **row})
        for i, row in enumerate(rows)
    ]


def told(
    *rows: dict[str, float], steps: int | None = None, choice: CheckpointChoice | None = None
) -> str:
    some = records(*rows)
    steps = some[-1].step if steps is None else steps
    return "\n".join(summarize_run(some, steps=steps, choice=choice or CheckpointChoice()))


def test_a_reward_that_rises_while_the_judge_falls_was_hacked() -> None:
    text = told(
        {"reward": 0.0, "judge": 0.0},
        {"reward": 1.0, "judge": 1.0, "kl": 3.0},
        {"reward": 3.0, "judge": -0.5, "kl": 40.0, "length": 60.0},
    )
    assert "the reward was hacked: it went on rising while the judge fell" in text
    assert "the judge was highest at step 10, at kl 3" in text
    assert "responses are 3.0 times as long; try length_penalty" in text
    assert "the policy went far from where it began" in text
    assert "reward 0 → 3, judge 0 → -0.5, kl 1 → 40" in text


def test_a_judge_who_rose_too_agrees() -> None:
    text = told({"reward": 0.0, "judge": 0.0}, {"reward": 1.0, "judge": 0.5})
    assert text.startswith("verdict: gained, and the judge agrees (")
    assert "\n" not in text


def test_a_judge_who_fell_by_chance_alone_does_not_say_hacked() -> None:
    rows = [{"reward": r, "judge": j, "gain_error": 0.5} for r, j in ((0, 0), (1, 1.2), (2, 0.5))]
    assert "gained, and the judge agrees" in told(*rows)


def test_what_chance_explains_is_no_gain() -> None:
    text = told({"reward": 0.0}, {"reward": 0.09})
    assert "nothing was gained that chance does not explain (the reward's error is 0.1)" in text


def test_without_a_judge_nobody_can_tell() -> None:
    text = told({"reward": 0.0}, {"reward": 1.0})
    assert "without a judge nobody can tell whether it was hacked" in text
    assert "give --judge a second reward model" in text


def test_a_run_that_ended_early_says_so() -> None:
    assert "too few evaluations to tell; stopped early, after step 0 of 9" in told(
        {"reward": 0.0}, steps=9
    )
    assert "; stopped early, after step 10 of 99" in told({"reward": 0}, {"reward": 1}, steps=99)


def test_a_reward_that_costs_more_divergence_than_it_is_worth_is_no_gain() -> None:
    rows = ({"reward": 0.0, "kl": 0.0}, {"reward": 1.0, "kl": 24.0})
    assert "the reward rose" in told(*rows)
    assert "nothing was gained" in told(*rows, choice=CheckpointChoice(kl_coef=0.05))


def test_what_was_best_beyond_the_budget_is_not_kept_and_no_gain() -> None:
    rows = ({"reward": 0.0, "judge": 0.0}, {"reward": 1.0, "judge": 1.0, "kl": 9.0})
    assert "gained, and the judge agrees" in told(*rows, choice=CheckpointChoice(max_kl=9.0))
    text = told(*rows, choice=CheckpointChoice(max_kl=5.0))
    assert "nothing was gained" in text
    assert "the best weights lie beyond max_kl 5: not kept" in text


def test_where_the_last_weights_are_kept_they_are_the_ones_that_are_told_of() -> None:
    rows = [{"reward": 0.0, "judge": j} for j in (0, 2, 0)]
    assert "gained" in told(*rows).split("(")[0]
    assert "nothing was gained" in told(*rows, choice=CheckpointChoice(is_last=True))
