"""The summary of an RL run: a verdict on reward hacking, and advice.

The reward itself does not show whether it was hacked. The signs are the score of a judge that is
never trained against, the KL divergence to the reference, and changes in the responses.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from upbring.runs.metrics import MetricsRecord
from upbring.runs.results import JudgeQuality

MAX_LENGTH_RATIO, MAX_KL, NUM_STANDARD_ERRORS = 1.5, 25.0, 2.0
SUMMARY_METRICS = ("reward", "judge", "kl", "length", "ended")


@dataclass(frozen=True, slots=True)
class CheckpointChoice:
    """Which weights a run keeps: the best ones with a KL of at most `max_kl`, or the last."""

    kl_coef: float = 0.0
    max_kl: float | None = None
    is_last: bool = False

    def select(self, evaluations: Sequence[MetricsRecord]) -> MetricsRecord:
        """Return the evaluation of the weights that are kept."""
        limit = math.inf if self.max_kl is None else self.max_kl
        within_budget = [record for record in evaluations if record.values["kl"] <= limit]
        return (
            evaluations[-1]
            if self.is_last or not within_budget
            else max(within_budget, key=self.score)
        )

    def score(self, record: MetricsRecord) -> float:
        """Return the judge's score or, without a judge, the reward minus the KL penalty."""
        values = record.values
        return values.get("judge", values["reward"] - self.kl_coef * values["kl"])


def summarize_run(
    records: Sequence[MetricsRecord],
    *,
    steps: int,
    choice: CheckpointChoice,
    judge: JudgeQuality | None = None,
) -> list[str]:
    """Return verdict and advice on a run of `steps` steps, from its held-out evaluations."""
    evaluations = [r for r in records if r.kind == "held_out" and "reward" in r.values]
    last_step = max((r.step for r in records), default=0)
    early_stop_note = (
        f"; stopped early, after step {last_step} of {steps}" if last_step < steps else ""
    )
    if len(evaluations) < 2:  # noqa: PLR2004 -- first and last
        return [f"verdict: unknown, too few evaluations{early_stop_note}; lower eval_steps"]
    first, last = evaluations[0].values, evaluations[-1].values
    numbers = ", ".join(
        f"{name} {first[name]:.3g} → {last[name]:.3g}"
        for name in SUMMARY_METRICS
        if name in first and name in last
    )
    return [
        f"verdict: {_diagnose(evaluations, choice, judge)} ({numbers}){early_stop_note}",
        *([f"  {judge.text}"] if judge is not None else []),
        *_advice(evaluations, choice),
    ]


def _diagnose(
    evaluations: Sequence[MetricsRecord], choice: CheckpointChoice, judge: JudgeQuality | None
) -> str:
    """Return in one line whether the policy improved, and whether the reward was hacked.

    The reward was hacked if it is higher at the end than at the judge's best evaluation, while the
    judge has since lost more than half of its gain, and more than its noise. The gain is that of
    the weights that are kept.
    """
    first, last, best, chosen = (
        evaluations[0],
        evaluations[-1],
        max(evaluations, key=choice.score),
        choice.select(evaluations),
    )
    is_judged = "judge" in first.values
    noise = NUM_STANDARD_ERRORS * best.values.get("gain_error", 0.0)
    if is_judged and last.values["reward"] > best.values["reward"]:
        gain, drop = (choice.score(best) - choice.score(each) for each in (first, last))
        if drop > max(gain / 2, noise):
            return "the reward was hacked: it kept rising while the judge fell"
    if choice.score(chosen) - choice.score(first) <= noise:
        score_name = "judge" if is_judged else "reward"
        if choice.score(best) == choice.score(first):  # its error is 0 by definition
            return "no significant gain (no evaluation scores higher than the first)"
        return f"no significant gain (two standard errors of the {score_name} are {noise:.2g})"
    if is_judged and judge is not None and not judge.is_fit:
        return "no evidence: the judge rose, but it is not fit"
    if is_judged:
        return "significant gain, confirmed by the judge"
    return "the reward rose; without a judge it is unknown whether it was hacked"


def _advice(evaluations: Sequence[MetricsRecord], choice: CheckpointChoice) -> list[str]:
    """Return advice on what the evaluations show."""
    first, last, best = (
        evaluations[0].values,
        evaluations[-1].values,
        max(evaluations, key=choice.score),
    )
    lines = []
    if "judge" not in first:
        lines.append(
            "  set --judge to a second reward model, trained on other comparisons or another seed"
        )
    elif last["judge"] < best.values["judge"]:
        lines.append(f"  the judge was highest at step {best.step}, at kl {best.values['kl']:.3g}")
    if choice.max_kl is not None and best.values["kl"] > choice.max_kl:
        lines.append(f"  the best weights exceed max_kl {choice.max_kl:g} and are not kept")
    if last["length"] > MAX_LENGTH_RATIO * first["length"]:
        ratio = last["length"] / first["length"]
        lines.append(f"  responses are {ratio:.1f} times as long; try length_penalty")
    if last["kl"] > MAX_KL:
        lines.append("  the policy moved far from the reference; try max_kl or a higher kl_coef")
    return lines
