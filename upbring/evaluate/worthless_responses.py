"""Answers that deserve no reward, made of a good one: what a policy finds when a reward is blind.

Whoever has the reward model scores them; `reward_health` says what the scores mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from upbring.maths.statistics import FloatArray

SPAM_WORD = "the"
NUM_REPEATS = 5
NUM_SPAM_WORDS = 40
# What a fit reward model never prefers; half an answer is bad too, but may hold all that matters.
WORTHLESS_KINDS = ("empty", "repeated", "copied", "spam")
PROBE_KINDS = (*WORTHLESS_KINDS, "truncated")


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """Scores of good answers `[n]` and, by kind, of what was made of each `[n]`; NaN: not made."""

    good: FloatArray
    worthless: Mapping[str, FloatArray] = field(default_factory=dict)


def make_probe_responses(prompt: str, response: str) -> dict[str, str]:
    """Return worthless answers by kind, made of what the user asked and of a good response.

    >>> make_probe_responses("How are you?", "Fine, thank you.")["truncated"]
    'Fine,'
    """
    words = response.split()
    responses = {
        "empty": "",
        "truncated": " ".join(words[: len(words) // 2]),
        "repeated": " ".join([response.strip()] * NUM_REPEATS),
        "copied": prompt,
        "spam": " ".join([SPAM_WORD] * NUM_SPAM_WORDS),
    }
    is_usable = {kind: kind == "empty" or text.strip() for kind, text in responses.items()}
    return {k: t for k, t in responses.items() if is_usable[k] and t.strip() != response.strip()}
