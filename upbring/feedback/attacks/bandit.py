"""An attacker that learns which attacks work: a bandit over families and their compositions.

UCB1 (Auer, Cesa-Bianchi & Fischer 2002): try the arm with the highest mean + √(2 ln t / n). It has
no state but the counts, so that the same history always gives the same choice.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from upbring.feedback.attacks.families import SEPARATOR
from upbring.maths.random_draws import RandomStream

# Families that change the letters come first in a composition, those with several messages last.
LETTERS = ("typos", "noise", "invisible", "respelling", "splitting", "encoding")
DIALOGUES = ("many_shot", "escalation", "prefix")


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """How often an attack was tried, and how often it succeeded."""

    tries: int = 0
    successes: int = 0

    def add(self, successes: Sequence[bool]) -> "ArmCounts":
        """Return the counts after more tries."""
        return ArmCounts(self.tries + len(successes), self.successes + sum(successes))


def make_arms(families: Sequence[str], *, seed: int, num_compositions: int = 12) -> list[str]:
    """Return the families and some compositions of two of them, each in a sensible order."""
    order = {name: i for i, name in enumerate([*LETTERS, *DIALOGUES])}
    middle = len(LETTERS) - 0.5  # frames are between letters and dialogues

    def rank(name: str) -> float:
        return order.get(name, middle)

    pairs = [
        SEPARATOR.join(sorted(pair, key=rank))
        for pair in itertools.combinations(families, 2)
        if rank(pair[0]) != rank(pair[1])
    ]
    chosen = RandomStream(seed, "compositions").sample(pairs, num_compositions)
    return [*families, *sorted(chosen)]


def choose_arms(counts: Mapping[str, ArmCounts], *, num_choices: int, seed: int) -> list[str]:
    """Return the next arms to try, as if each choice failed until the results are in.

    Arms that were never tried come first, in an order that depends on the seed.
    """
    names = RandomStream(seed, "arms", len(counts)).shuffled(list(counts))
    tries = {name: counts[name].tries for name in names}
    chosen = []
    for _ in range(num_choices):
        total = max(1, sum(tries.values()))
        best = max(names, key=lambda name: _bound(counts[name].successes, tries[name], total))
        tries[best] += 1
        chosen.append(best)
    return chosen


def _bound(successes: int, tries: int, total: int) -> float:
    """Return UCB1's upper bound of an arm; infinite if it was never tried."""
    if tries == 0:
        return math.inf
    return successes / tries + math.sqrt(2 * math.log(total) / tries)
