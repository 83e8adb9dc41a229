"""In which order trees are learned from: a pure function of (seed, epoch, index).

Resuming is starting at another step. Sources are mixed by weight at fixed places: with a replay
share of 0.2, one example of every five comes from the replayed source, in whatever step.
"""

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from upbring.data.trees.tree import Tree, Trees
from upbring.maths import counter_rng


@dataclass(frozen=True, slots=True)
class Source:
    """Trees and the share of the examples that comes from them."""

    trees: Trees
    share: float


@dataclass(slots=True)
class Stream:
    """Steps of trees from one main source and what is mixed in."""

    main: Trees
    mixed: Sequence[Source]
    seed: int
    epochs: float
    step_examples: int
    step_tokens: int | None = None
    _orders: dict[int, tuple[int, np.ndarray]] = field(default_factory=dict)
    _bounds: list[int] = field(default_factory=list)

    @property
    def num_examples(self) -> int:
        """Examples of all steps: `epochs` passes over the main source, and what is mixed in."""
        share = 1 - sum(source.share for source in self.mixed)
        return max(1, round(self.epochs * len(self.main) / share))

    @property
    def num_steps(self) -> int:
        """Steps that the epochs make; the last may be smaller."""
        if self.step_tokens is None:
            return math.ceil(self.num_examples / self.step_examples)
        return len(self._boundaries()) - 1

    def steps(self, start: int, stop: int) -> Iterator[list[Tree]]:
        """Yield the trees of steps `start` … `stop` − 1."""
        for step in range(start, stop):
            yield self.step(step)

    def step(self, step: int) -> list[Tree]:
        """Return the trees of a step; after the epochs' last it goes on with the next epoch."""
        if self.step_tokens is not None:
            bounds = self._boundaries()
            passes, inside = divmod(step, len(bounds) - 1)
            first = passes * self.num_examples
            return [self.example(first + i) for i in range(bounds[inside], bounds[inside + 1])]
        per_pass = math.ceil(self.num_examples / self.step_examples)
        passes, inside = divmod(step, per_pass)
        first = inside * self.step_examples
        last = min(first + self.step_examples, self.num_examples)
        return [self.example(passes * self.num_examples + i) for i in range(first, last)]

    def _boundaries(self) -> list[int]:
        """Return where steps of `step_tokens` begin: as many examples as fit, at least one."""
        if not self._bounds:
            assert self.step_tokens is not None, "only for steps counted in tokens"
            ends = np.cumsum(
                [self.example(i).num_tokens for i in range(self.num_examples)]
            ).tolist()
            bounds = [0]
            while bounds[-1] < len(ends):
                done = ends[bounds[-1] - 1] if bounds[-1] else 0
                fitting = bisect.bisect_right(ends, done + self.step_tokens)
                bounds.append(max(fitting, bounds[-1] + 1))
            self._bounds = bounds
        return self._bounds

    def example(self, index: int) -> Tree:
        """Return the `index`-th example of all."""
        number, place = self._place(index)
        trees = self.main if number == 0 else self.mixed[number - 1].trees
        epoch, inside = divmod(place, len(trees))
        if number not in self._orders or self._orders[number][0] != epoch:
            shuffled = counter_rng.order(
                counter_rng.key(self.seed, "order", number, epoch), len(trees)
            )
            self._orders[number] = (epoch, shuffled.numpy())
        return trees[int(self._orders[number][1][inside])]

    def _place(self, index: int) -> tuple[int, int]:
        """Return which source gives example `index`, and which of its examples it is.

        A source of share w gives an example wherever ⌊(i + 1) w⌋ > ⌊i w⌋; what is left goes to
        the next source, whose share is then w₂ / (1 − w₁), and at last to the main one.
        """
        left = 1.0
        for number, source in enumerate(self.mixed, 1):
            share = source.share / left
            before, after = _floor(index * share), _floor((index + 1) * share)
            if after > before:
                return number, before
            index -= before
            left -= source.share
        return 0, index


def _floor(value: float) -> int:
    """Return ⌊value⌋, where 0.2 × 5 is 1 whatever its last bit."""
    return math.floor(value + 1e-9)
