"""Soft labels of a pair from the judgments of several principles.

The label is the mean of the judgments that can say, by the principles' weights. Labels of a judge
that reasons are overconfident and are clamped, to 40–60 % in the paper (Bai et al. 2022, §4.1);
plain labels never are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from upbring.feedback.principles import Principle
from upbring.judge.judgment import Judgment

Outcome = Literal["labeled", "tied", "flipped", "cannot say", "not understood"]


@dataclass(frozen=True, slots=True)
class PrincipleJudgment:
    """What a judge says about a pair in the light of one principle."""

    principle: Principle
    judgment: Judgment


@dataclass(frozen=True, slots=True)
class SoftLabel:
    """The probability that the first response is better, and the weight of the row."""

    outcome: Outcome
    probability: float = 0.5
    weight: float = 1.0

    @property
    def is_first_better(self) -> bool:
        """Whether the first response is the chosen one."""
        return self.probability > 0.5  # noqa: PLR2004 -- the more probable one


def combine_judgments(
    judgments: Sequence[PrincipleJudgment],
    *,
    clamp: float | None,
    drops_flipped: bool,
    weighted: bool,
) -> SoftLabel:
    """Return the label of a pair.

    Its weight is the share of the judge's probability that is not "cannot say". `clamp` is the
    highest probability of a label, for a judge that reasons; None for others. Judgments that depend
    on the order are dropped if `drops_flipped`; otherwise their mean is near ½. `weighted`: by the
    principles' weights, if all were asked and not drawn by weight.
    """
    understood = [each for each in judgments if each.judgment.is_understood]
    if not understood:
        return SoftLabel("not understood")
    stable = [e for e in understood if not (drops_flipped and e.judgment.is_flipped)]
    if not stable:
        return SoftLabel("flipped")
    weights = np.array([each.principle.weight if weighted else 1.0 for each in stable])
    can_say = np.array([1 - each.judgment.cannot_say for each in stable])
    if (weights * can_say).sum() <= 0 or all(each.judgment.is_abstention for each in stable):
        return SoftLabel("cannot say")
    first = np.array([(each.judgment.choices or (0.5,))[0] for each in stable])
    probability = float((weights * can_say) @ first / (weights * can_say).sum())
    if clamp is not None:
        probability = min(max(probability, 1 - clamp), clamp)
    if round(probability, 6) == 0.5:  # noqa: PLR2004 -- no preference
        return SoftLabel("tied")
    return SoftLabel("labeled", probability, float(can_say[can_say > 0.5].mean()))  # noqa: PLR2004 -- those that can rather say
