"""Answers that deserve no reward, made of a good one: what a policy finds when a reward is blind.

Whoever has the reward model scores them; `reward_health` says what the scores mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from upbring.maths.statistics import Numbers

SPAM = "the"
NUM_REPEATS = 5
NUM_SPAM = 40
# What a fit reward model never prefers; half an answer is bad too, but may hold all that matters.
WORTHLESS = ("empty", "repeated", "copied", "spam")
KINDS = (*WORTHLESS, "truncated")


@dataclass(frozen=True, slots=True)
class Probes:
    """Scores of good answers `[n]` and, by kind, of what was made of each `[n]`; NaN: not made."""

    good: Numbers
    bad: Mapping[str, Numbers] = field(default_factory=dict)


def probe_answers(prompt: str, response: str) -> dict[str, str]:
    """Return worthless answers by kind, made of what the user asked and of a good response.

    >>> probe_answers("How are you?", "Fine, thank you.")["truncated"]
    'Fine,'
    """
    words = response.split()
    made = {
        "empty": "",
        "truncated": " ".join(words[: len(words) // 2]),
        "repeated": " ".join([response.strip()] * NUM_REPEATS),
        "copied": prompt,
        "spam": " ".join([SPAM] * NUM_SPAM),
    }
    is_own = {kind: kind == "empty" or text.strip() for kind, text in made.items()}
    return {k: t for k, t in made.items() if is_own[k] and t.strip() != response.strip()}
