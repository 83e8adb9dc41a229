"""What a run that learned from rewards says of itself: alarms on the way, and a verdict at its end.

Whether a reward was hacked cannot be seen from the reward. It is seen from a judge who is never
learned from, from how far the policy went, and from what its responses became.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from upbring.runs.metrics import MetricsRecord
from upbring.train.progress import Band

PROGRESS_METRICS = ("reward", "kl", "length", "loss")

HEALTHY_RANGES: Mapping[str, Band] = MappingProxyType(
    {
        "kl": Band(
            None,
            25.0,
            "Responses are far from where they began, and the reward model was never taught such: "
            "raise kl_coef, set kl_target or max_kl, or lower learning_rate.",
        ),
        "length_ratio": Band(
            0.5,
            1.5,
            "Responses are not as long as they were; many reward models like long ones. Read some "
            "with `upbring rollouts`, and set length_penalty if they ramble.",
        ),
        "ended": Band(
            0.5,
            None,
            "More than half of the responses do not end by themselves: raise max_response_length, or "
            "missing_eos_penalty.",
        ),
        "entropy": Band(
            0.1,
            None,
            "Responses hardly vary any more, so there is nothing left to compare: lower "
            "learning_rate, or raise kl_coef.",
        ),
        "clip_fraction": Band(
            None,
            0.3,
            "The policy moves too far on one round of rollouts: lower learning_rate or "
            "update_epochs.",
        ),
        "reward_deviation": Band(
            1e-3,
            None,
            "All responses are rewarded alike, so nothing can be learned: is it the right reward "
            "model, and is its template the policy's?",
        ),
    }
)

MAX_LENGTH_RATIO, MAX_KL, NUM_STANDARD_ERRORS = 1.5, 25.0, 2.0
SUMMARY_METRICS = ("reward", "judge", "kl", "length", "ended")


@dataclass(frozen=True, slots=True)
class CheckpointChoice:
    """Which weights a run keeps: those worth most within a budget of divergence, or the last."""

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
        """Return the judge's score or, without a judge, the reward less the divergence."""
        values = record.values
        return values.get("judge", values["reward"] - self.kl_coef * values["kl"])


def summarize_run(
    records: Sequence[MetricsRecord], *, steps: int, choice: CheckpointChoice
) -> list[str]:
    """Return what came of a run of `steps` steps, from its evaluations on held-out prompts."""
    evaluations = [r for r in records if r.kind == "held_out" and "reward" in r.values]
    last_step = max((r.step for r in records), default=0)
    early_stop_note = (
        f"; stopped early, after step {last_step} of {steps}" if last_step < steps else ""
    )
    if len(evaluations) < 2:  # noqa: PLR2004 -- a change has two ends
        return [f"verdict: too few evaluations to tell{early_stop_note}; set eval_steps lower"]
    first, last = evaluations[0].values, evaluations[-1].values
    numbers = ", ".join(
        f"{name} {first[name]:.3g} → {last[name]:.3g}"
        for name in SUMMARY_METRICS
        if name in first and name in last
    )
    return [
        f"verdict: {_diagnose(evaluations, choice)} ({numbers}){early_stop_note}",
        *_advice(evaluations, choice),
    ]


def _diagnose(evaluations: Sequence[MetricsRecord], choice: CheckpointChoice) -> str:
    """Return in a line what happened to the reward, and whether it may be believed.

    It was hacked where it was higher at the end than where the judge was highest, and the judge by
    then had fallen by half of what it had gained, and by more than chance. What was gained is told
    of the weights that are kept.
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
            return "the reward was hacked: it went on rising while the judge fell"
    if choice.score(chosen) - choice.score(first) <= noise:
        score_name = "judge" if is_judged else "reward"
        return f"nothing was gained that chance does not explain (the {score_name}'s error is {noise:.2g})"
    if is_judged:
        return "gained, and the judge agrees"
    return "the reward rose; without a judge nobody can tell whether it was hacked"


def _advice(evaluations: Sequence[MetricsRecord], choice: CheckpointChoice) -> list[str]:
    """Return what to do about what can be seen in the numbers."""
    first, last, best = (
        evaluations[0].values,
        evaluations[-1].values,
        max(evaluations, key=choice.score),
    )
    lines = []
    if "judge" not in first:
        lines.append(
            "  give --judge a second reward model, trained on other comparisons or another seed"
        )
    elif last["judge"] < best.values["judge"]:
        lines.append(f"  the judge was highest at step {best.step}, at kl {best.values['kl']:.3g}")
    if choice.max_kl is not None and best.values["kl"] > choice.max_kl:
        lines.append(f"  the best weights lie beyond max_kl {choice.max_kl:g}: not kept")
    if last["length"] > MAX_LENGTH_RATIO * first["length"]:
        ratio = last["length"] / first["length"]
        lines.append(f"  responses are {ratio:.1f} times as long; try length_penalty")
    if last["kl"] > MAX_KL:
        lines.append("  the policy went far from where it began; try max_kl or a higher kl_coef")
    return lines
