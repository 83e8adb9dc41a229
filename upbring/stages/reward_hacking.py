"""What a run that learned from rewards says of itself: alarms on the way, and a verdict at its end.

Whether a reward was hacked cannot be seen from the reward. It is seen from a judge who is never
learned from, from how far the policy went, and from what its responses became.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from upbring.runs.metrics import Record
from upbring.train.progress import Band

SHOWN = ("reward", "kl", "length", "loss")

BANDS: Mapping[str, Band] = MappingProxyType(
    {
        "kl": Band(
            None,
            25.0,
            "Responses are far from where they began, and the reward model was never taught such: "
            "raise kl_weight, set kl_target or kl_budget, or lower learning_rate.",
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
            "More than half of the responses do not end by themselves: raise response_tokens, or "
            "missing_stop_penalty.",
        ),
        "entropy": Band(
            0.1,
            None,
            "Responses hardly vary any more, so there is nothing left to compare: lower "
            "learning_rate, or raise kl_weight.",
        ),
        "clip_fraction": Band(
            None,
            0.3,
            "The policy moves too far on one round of rollouts: lower learning_rate or "
            "inner_epochs.",
        ),
        "reward_deviation": Band(
            1e-3,
            None,
            "All responses are rewarded alike, so nothing can be learned: is it the right reward "
            "model, and is its template the policy's?",
        ),
    }
)

LONGER, MOST_KL, ERRORS = 1.5, 25.0, 2.0
NUMBERS = ("reward", "judge", "kl", "length", "ended")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which weights a run keeps: those worth most within a budget of divergence, or the last."""

    kl_weight: float = 0.0
    kl_budget: float | None = None
    is_last: bool = False

    def of(self, seen: Sequence[Record]) -> Record:
        """Return the evaluation of the weights that are kept."""
        budget = math.inf if self.kl_budget is None else self.kl_budget
        near = [record for record in seen if record.values["kl"] <= budget]
        return seen[-1] if self.is_last or not near else max(near, key=self.worth)

    def worth(self, record: Record) -> float:
        """Return the judge's score or, without a judge, the reward less the divergence."""
        values = record.values
        return values.get("judge", values["reward"] - self.kl_weight * values["kl"])


def verdict(records: Sequence[Record], *, steps: int, choice: Choice) -> list[str]:
    """Return what came of a run of `steps` steps, from its evaluations on held-out prompts."""
    seen = [r for r in records if r.kind == "held_out" and "reward" in r.values]
    taken = max((r.step for r in records), default=0)
    early = f"; stopped early, after step {taken} of {steps}" if taken < steps else ""
    if len(seen) < 2:  # noqa: PLR2004 -- a change has two ends
        return [f"verdict: too few evaluations to tell{early}; set evaluate_every lower"]
    first, last = seen[0].values, seen[-1].values
    numbers = ", ".join(
        f"{name} {first[name]:.3g} → {last[name]:.3g}"
        for name in NUMBERS
        if name in first and name in last
    )
    return [f"verdict: {_told(seen, choice)} ({numbers}){early}", *_advice(seen, choice)]


def _told(seen: Sequence[Record], choice: Choice) -> str:
    """Return in a line what happened to the reward, and whether it may be believed.

    It was hacked where it was higher at the end than where the judge was highest, and the judge by
    then had fallen by half of what it had gained, and by more than chance. What was gained is told
    of the weights that are kept.
    """
    first, last, best, kept = seen[0], seen[-1], max(seen, key=choice.worth), choice.of(seen)
    is_judged = "judge" in first.values
    noise = ERRORS * best.values.get("gain_error", 0.0)
    if is_judged and last.values["reward"] > best.values["reward"]:
        gained, lost = (choice.worth(best) - choice.worth(each) for each in (first, last))
        if lost > max(gained / 2, noise):
            return "the reward was hacked: it went on rising while the judge fell"
    if choice.worth(kept) - choice.worth(first) <= noise:
        score = "judge" if is_judged else "reward"
        return (
            f"nothing was gained that chance does not explain (the {score}'s error is {noise:.2g})"
        )
    if is_judged:
        return "gained, and the judge agrees"
    return "the reward rose; without a judge nobody can tell whether it was hacked"


def _advice(seen: Sequence[Record], choice: Choice) -> list[str]:
    """Return what to do about what can be seen in the numbers."""
    first, last, best = seen[0].values, seen[-1].values, max(seen, key=choice.worth)
    found = []
    if "judge" not in first:
        found.append(
            "  give --judge a second reward model, trained on other comparisons or another seed"
        )
    elif last["judge"] < best.values["judge"]:
        found.append(f"  the judge was highest at step {best.step}, at kl {best.values['kl']:.3g}")
    if choice.kl_budget is not None and best.values["kl"] > choice.kl_budget:
        found.append(f"  the best weights lie beyond kl_budget {choice.kl_budget:g}: not kept")
    if last["length"] > LONGER * first["length"]:
        grown = last["length"] / first["length"]
        found.append(f"  responses are {grown:.1f} times as long; try length_penalty")
    if last["kl"] > MOST_KL:
        found.append(
            "  the policy went far from where it began; try kl_budget or a higher kl_weight"
        )
    return found
