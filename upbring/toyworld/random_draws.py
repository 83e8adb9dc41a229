"""Randomness of the nursery: every draw is a pure function of (seed, purpose, index, …).

Python's own generator is left out: its `choice` and `shuffle` may change with its version, and the
same seed must give the same bytes everywhere. Torch is left out: these are texts.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_BITS = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


def fraction(*key: int | str) -> float:
    """Return a number in [0, 1) that is a pure function of `key`.

    >>> fraction(0, "side", "France") == fraction(0, "side", "France")
    True
    """
    return _hash(key) / 2.0**64


def _hash(key: Sequence[int | str]) -> int:
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Dice:
    """A stream of draws that begins at `key` (SplitMix64, public domain).

    >>> Dice(0, "corpus", 7).below(1000) == Dice(0, "corpus", 7).below(1000)
    True
    """

    def __init__(self, *key: int | str) -> None:
        self._state = _hash(key)

    def _bits(self) -> int:
        self._state = (self._state + _STEP) & _BITS
        bits = self._state
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _BITS
        return bits ^ (bits >> 31)

    def unit(self) -> float:
        """Return a number in (0, 1): neither end, so that no logarithm fails."""
        return ((self._bits() >> 12) + 0.5) * 2.0**-52

    def below(self, count: int) -> int:
        """Return one of 0 … count − 1."""
        return (self._bits() * count) >> 64

    def chance(self, probability: float) -> bool:
        """Return whether an event of this probability happens."""
        return self.unit() < probability

    def pick(self, things: Sequence[T]) -> T:
        """Return one of `things`."""
        return things[self.below(len(things))]

    def shuffled(self, things: Sequence[T]) -> list[T]:
        """Return `things` in another order."""
        rest = list(things)
        for last in range(len(rest) - 1, 0, -1):
            other = self.below(last + 1)
            rest[last], rest[other] = rest[other], rest[last]
        return rest

    def some(self, things: Sequence[T], count: int) -> list[T]:
        """Return up to `count` different ones of `things`, in random order."""
        return self.shuffled(things)[:count]

    def weighted(self, weights: Sequence[float]) -> int:
        """Return an index, each in proportion to its weight."""
        rest = self.unit() * sum(weights)
        for index, weight in enumerate(weights):
            rest -= weight
            if rest < 0:
                return index
        return len(weights) - 1

    def gumbel(self) -> float:
        """Return Gumbel noise: sorting scores + noise draws a Plackett–Luce ranking."""
        return -math.log(-math.log(self.unit()))

    def normal(self) -> float:
        """Return standard normal noise (Box–Muller)."""
        radius = math.sqrt(-2.0 * math.log(self.unit()))
        return radius * math.cos(2.0 * math.pi * self.unit())
