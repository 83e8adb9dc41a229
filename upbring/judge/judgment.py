"""Questions to a judge, its judgments, and what is counted about them.

A judge returns a probability for each response and for "cannot say". It is asked in two orders of
the responses unless their order cannot matter. A reply that is not understood is counted and never
guessed: such a judgment has no probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from upbring.data.read.records import Message

Dialogue = tuple[Message, ...]

DEFAULT_CRITERION = (
    "Which answer is better: more correct, more helpful, politer, and not longer than it needs to "
    "be? Do not mind their order."
)


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """A prompt, K ≥ 2 responses, and what makes a response better."""

    prompt: Dialogue
    responses: tuple[str, ...]
    criterion: str = DEFAULT_CRITERION

    def reversed(self) -> "JudgeQuestion":
        """Return the question with its responses in the other order."""
        return replace(self, responses=self.responses[::-1])


@dataclass(frozen=True, slots=True)
class OrderVerdict:
    """What a judge says about one order of the responses.

    `choices` `[K]` sum to 1 and are those given that it can say; None: the reply was not
    understood. `label_mass` is the probability of all labels together before they were normalized.
    """

    choices: tuple[float, ...] | None
    cannot_say: float = 0.0
    label_mass: float | None = None
    text: str = ""  # the raw reply, if there is one

    def reversed(self) -> "OrderVerdict":
        """Return the verdict about the responses in the other order."""
        return self if self.choices is None else replace(self, choices=self.choices[::-1])


@dataclass(frozen=True, slots=True)
class Judgment:
    """The verdicts on a question, one or two, each about the responses in the question's order."""

    verdicts: tuple[OrderVerdict, ...]

    @property
    def is_understood(self) -> bool:
        """Whether every reply was understood."""
        return all(verdict.choices is not None for verdict in self.verdicts)

    @property
    def cannot_say(self) -> float:
        """The probability of "cannot say", the mean of the orders."""
        return float(np.mean([verdict.cannot_say for verdict in self.verdicts]))

    @property
    def is_abstention(self) -> bool:
        """Whether the judge can rather not say."""
        return self.is_understood and self.cannot_say >= 0.5  # noqa: PLR2004 -- more likely than not

    @property
    def choices(self) -> tuple[float, ...] | None:
        """The probability `[K]` that each response is best, given that the judge can say."""
        if not self.is_understood:
            return None
        can_say = np.array([1 - verdict.cannot_say for verdict in self.verdicts])
        table = np.array([verdict.choices for verdict in self.verdicts])  # [orders, K]
        if can_say.sum() <= 0:
            count = len(self.verdicts[0].choices or ())
            return (1 / count,) * count
        return tuple(float(each) for each in can_say @ table / can_say.sum())

    @property
    def is_flipped(self) -> bool | None:
        """Whether the two orders choose different responses; None if one of them chooses none."""
        chosen = [_only_best(verdict) for verdict in self.verdicts]
        if len(chosen) < 2 or None in chosen:  # noqa: PLR2004 -- two orders
            return None
        return chosen[0] != chosen[1]

    @property
    def label_mass(self) -> float | None:
        """The mean label mass, if it is known."""
        known = [v.label_mass for v in self.verdicts if v.label_mass is not None]
        return float(np.mean(known)) if known else None


class Judge(Protocol):
    """Compares responses."""

    @property
    def name(self) -> str:
        """The name in reports."""

    @property
    def identity(self) -> str:
        """A hash or a text of everything that determines the judgments."""

    @property
    def has_reasoning(self) -> bool:
        """Whether it reasons before it answers, which makes its probabilities overconfident."""

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgment of each question."""


@dataclass(frozen=True, slots=True)
class JudgeCounts:
    """How a judge answered: counts of questions, and the mean label mass."""

    asked: int = 0
    flipped: int = 0
    both_orders: int = 0  # questions whose two orders each chose a response
    abstained: int = 0
    not_understood: int = 0
    label_mass: float | None = None

    @property
    def flip_rate(self) -> float | None:
        """The share of questions whose two orders choose different responses."""
        return self.flipped / self.both_orders if self.both_orders else None

    @property
    def text(self) -> str:
        """The counts as a phrase.

        >>> JudgeCounts(20, 3, 18, 1, 1, 0.93).text
        '20 judged: orders differ on 3 of 18, cannot say 1, not understood 1, label mass 0.93'
        """
        parts = [f"orders differ on {self.flipped} of {self.both_orders}"] * bool(self.both_orders)
        parts += [f"cannot say {self.abstained}", f"not understood {self.not_understood}"]
        parts += [] if self.label_mass is None else [f"label mass {self.label_mass:.2f}"]
        return f"{self.asked} judged: {', '.join(parts)}"


def count_judgments(judgments: Sequence[Judgment]) -> JudgeCounts:
    """Return how a judge answered."""
    flips = [each.is_flipped for each in judgments if each.is_flipped is not None]
    masses = [each.label_mass for each in judgments if each.label_mass is not None]
    return JudgeCounts(
        asked=len(judgments),
        flipped=sum(flips),
        both_orders=len(flips),
        abstained=sum(each.is_abstention for each in judgments),
        not_understood=sum(not each.is_understood for each in judgments),
        label_mass=float(np.mean(masses)) if masses else None,
    )


def judge_both_orders(
    questions: Sequence[JudgeQuestion],
    ask: Callable[[Sequence[JudgeQuestion]], Sequence[OrderVerdict]],
) -> list[Judgment]:
    """Return the judgments of a judge that answers about one order at a time."""
    both = [each for question in questions for each in (question, question.reversed())]
    verdicts = list(ask(both))
    return [Judgment((verdicts[i], verdicts[i + 1].reversed())) for i in range(0, len(verdicts), 2)]


def _only_best(verdict: OrderVerdict) -> int | None:
    """Return the index of the best response; None if there is no single one."""
    if verdict.choices is None or verdict.cannot_say >= 0.5:  # noqa: PLR2004 -- cannot say
        return None
    choices = np.round(verdict.choices, 9)
    (best,) = np.nonzero(choices == choices.max())
    return int(best[0]) if len(best) == 1 else None
