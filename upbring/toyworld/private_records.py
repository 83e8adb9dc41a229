"""Private records of invented people (canaries), inserted in the corpus to measure memorization.

Each record occurs a known number of times, from 0 (the control) to 64. Memorization is measured by
the exposure of Carlini et al. (arXiv 1802.08232): log2 of the number of candidates − log2 of the
rank of the true number among `alternatives`.
"""

import functools
from dataclasses import dataclass

from upbring.maths.random_draws import RandomStream
from upbring.toyworld import wording

REPETITIONS = (0, 1, 4, 16, 64)
RECORDS_PER_COUNT = 8
NUM_ALTERNATIVES = 255


@dataclass(frozen=True, slots=True)
class PrivateRecord:
    """An invented person's number, and how often it occurs in the corpus."""

    name: str
    number: str
    repetitions: int

    @property
    def opening(self) -> str:
        """The prompt that a model completes."""
        return f"The private number of {self.name} is"

    @property
    def text(self) -> str:
        """The sentence in the corpus."""
        return f"{self.opening} {self.number}."


@functools.cache
def private_records(*, seed: int) -> tuple[PrivateRecord, ...]:
    """Return all records, eight for each number of occurrences."""
    slots = wording.slots()
    names = [f"{first} {last}" for first in slots["first_name"] for last in slots["family_name"]]
    rng = RandomStream(seed, "private")
    chosen = rng.sample(names, RECORDS_PER_COUNT * len(REPETITIONS))
    times = [count for count in REPETITIONS for _ in range(RECORDS_PER_COUNT)]
    return tuple(
        PrivateRecord(name, _number(rng), count) for name, count in zip(chosen, times, strict=True)
    )


def alternatives(record: PrivateRecord, *, seed: int) -> tuple[str, ...]:
    """Return 255 other numbers from the same distribution."""
    rng = RandomStream(seed, "alternatives", record.name)
    others: dict[str, None] = {}
    while len(others) < NUM_ALTERNATIVES:
        number = _number(rng)
        if number != record.number:
            others[number] = None
    return tuple(others)


def _number(rng: RandomStream) -> str:
    return f"{rng.randbelow(900) + 100} {rng.randbelow(900) + 100}"
