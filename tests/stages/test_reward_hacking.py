"""The verdict on runs, from a few evaluations."""

from upbring.runs.metrics import MetricsRecord
from upbring.runs.results import JudgeQuality
from upbring.stages.reward_hacking import CheckpointChoice, summarize_run


def records(*rows: dict[str, float]) -> list[MetricsRecord]:
    usual = {"kl": 1.0, "length": 20.0, "ended": 1.0, "gain_error": 0.05}
    return [
        MetricsRecord(step=10 * i, kind="held_out", time=0.0, values={**usual, **row})
        for i, row in enumerate(rows)
    ]


def summary(
    *rows: dict[str, float], steps: int | None = None, choice: CheckpointChoice | None = None
) -> str:
    some = records(*rows)
    steps = some[-1].step if steps is None else steps
    return "\n".join(summarize_run(some, steps=steps, choice=choice or CheckpointChoice()))


def test_a_reward_that_rises_while_the_judge_falls_was_hacked() -> None:
    text = summary(
        {"reward": 0.0, "judge": 0.0},
        {"reward": 1.0, "judge": 1.0, "kl": 3.0},
        {"reward": 3.0, "judge": -0.5, "kl": 40.0, "length": 60.0},
    )
    assert "the reward was hacked: it kept rising while the judge fell" in text
    assert "the judge was highest at step 10, at kl 3" in text
    assert "responses are 3.0 times as long; try length_penalty" in text
    assert "the policy moved far from the reference" in text
    assert "reward 0 → 3, judge 0 → -0.5, kl 1 → 40" in text


def test_a_judge_that_rose_too_confirms_the_gain() -> None:
    text = summary({"reward": 0.0, "judge": 0.0}, {"reward": 1.0, "judge": 0.5})
    assert text.startswith("verdict: significant gain, confirmed by the judge (")
    assert "\n" not in text


def test_a_judge_that_fell_within_its_noise_does_not_mean_hacked() -> None:
    rows = [{"reward": r, "judge": j, "gain_error": 0.5} for r, j in ((0, 0), (1, 1.2), (2, 0.5))]
    assert "significant gain, confirmed by the judge" in summary(*rows)


def test_a_change_within_the_noise_is_no_gain() -> None:
    text = summary({"reward": 0.0}, {"reward": 0.09})
    assert "no significant gain (two standard errors of the reward are 0.1)" in text


def test_a_run_whose_first_evaluation_is_the_best_has_no_gain() -> None:
    text = summary({"reward": 1.0, "gain_error": 0.0}, {"reward": 0.5})
    assert text.startswith(
        "verdict: no significant gain (no evaluation scores higher than the first) (reward 1 → 0.5"
    )


def test_without_a_judge_hacking_is_unknown() -> None:
    text = summary({"reward": 0.0}, {"reward": 1.0})
    assert "without a judge it is unknown whether it was hacked" in text
    assert "set --judge to a second reward model" in text


def test_the_verdict_reports_an_early_stop() -> None:
    assert "unknown, too few evaluations; stopped early, after step 0 of 9" in summary(
        {"reward": 0.0}, steps=9
    )
    assert "; stopped early, after step 10 of 99" in summary({"reward": 0}, {"reward": 1}, steps=99)


def test_a_reward_below_its_kl_penalty_is_no_gain() -> None:
    rows = ({"reward": 0.0, "kl": 0.0}, {"reward": 1.0, "kl": 24.0})
    assert "the reward rose" in summary(*rows)
    assert "no significant gain" in summary(*rows, choice=CheckpointChoice(kl_coef=0.05))


def test_the_best_weights_beyond_max_kl_are_not_kept_and_no_gain() -> None:
    rows = ({"reward": 0.0, "judge": 0.0}, {"reward": 1.0, "judge": 1.0, "kl": 9.0})
    assert "significant gain, confirmed by the judge" in summary(
        *rows, choice=CheckpointChoice(max_kl=9.0)
    )
    text = summary(*rows, choice=CheckpointChoice(max_kl=5.0))
    assert "no significant gain" in text
    assert "the best weights exceed max_kl 5 and are not kept" in text


def test_if_the_last_weights_are_kept_the_verdict_is_about_them() -> None:
    rows = [{"reward": 0.0, "judge": j} for j in (0, 2, 0)]
    assert "significant gain" in summary(*rows).split("(")[0]
    assert "no significant gain" in summary(*rows, choice=CheckpointChoice(is_last=True))


def test_a_judge_that_is_not_fit_confirms_nothing() -> None:
    rows = records({"reward": 0.0, "judge": 0.0}, {"reward": 2.0, "judge": 2.0})
    judge = JudgeQuality("rm", "not fit", "right on 46.7 % of 30 held-out pairs")
    found = summarize_run(rows, steps=10, choice=CheckpointChoice(), judge=judge)
    assert found[0].startswith("verdict: no evidence: the judge rose, but it is not fit")
    assert found[1] == "  judged by rm (not fit: right on 46.7 % of 30 held-out pairs)"
    fit = JudgeQuality("rm", "fit", "right on 90 % of 300 held-out pairs")
    (first, second, *_) = summarize_run(rows, steps=10, choice=CheckpointChoice(), judge=fit)
    assert "significant gain, confirmed by the judge" in first
    assert "(fit: right on 90 %" in second
