"""Random numbers without torch: each is a pure function of (seed, purpose, index, …).

Python's `random` is not used because `choice` and `shuffle` may change between Python versions; the
same seed must give the same bytes everywhere.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1
_INCREMENT = 0x9E3779B97F4A7C15


def hash_to_uniform(*key: int | str) -> float:
    """Return a number in [0, 1) that is a pure function of `key`.

    >>> hash_to_uniform(0, "side", "France") == hash_to_uniform(0, "side", "France")
    True
    """
    return _hash(key) / 2.0**64


def _hash(key: Sequence[int | str]) -> int:
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class RandomStream:
    """A random number generator seeded with `key` (SplitMix64, public domain).

    >>> RandomStream(0, "corpus", 7).randbelow(1000) == RandomStream(0, "corpus", 7).randbelow(1000)
    True
    """

    def __init__(self, *key: int | str) -> None:
        self._state = _hash(key)

    def _next_bits(self) -> int:
        self._state = (self._state + _INCREMENT) & _MASK
        bits = self._state
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
        return bits ^ (bits >> 31)

    def uniform(self) -> float:
        """Return a number in the open interval (0, 1), so that its logarithm is finite."""
        return ((self._next_bits() >> 12) + 0.5) * 2.0**-52

    def randbelow(self, count: int) -> int:
        """Return an integer from 0 to count − 1."""
        return (self._next_bits() * count) >> 64

    def bernoulli(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.uniform() < probability

    def choice(self, items: Sequence[T]) -> T:
        """Return a random item."""
        return items[self.randbelow(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return `items` in random order."""
        rest = list(items)
        for last in range(len(rest) - 1, 0, -1):
            other = self.randbelow(last + 1)
            rest[last], rest[other] = rest[other], rest[last]
        return rest

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return up to `count` items without replacement, in random order."""
        return self.shuffled(items)[:count]

    def weighted_index(self, weights: Sequence[float]) -> int:
        """Return an index with probability proportional to its weight."""
        rest = self.uniform() * sum(weights)
        for index, weight in enumerate(weights):
            rest -= weight
            if rest < 0:
                return index
        return len(weights) - 1

    def gumbel(self) -> float:
        """Return Gumbel noise; sorting by score + noise samples a Plackett–Luce ranking."""
        return -math.log(-math.log(self.uniform()))

    def normal(self) -> float:
        """Return standard normal noise (Box–Muller)."""
        radius = math.sqrt(-2.0 * math.log(self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())
