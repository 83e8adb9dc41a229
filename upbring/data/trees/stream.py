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
class MixtureSource:
    """Trees and the share of the examples that comes from them."""

    trees: Trees
    share: float


@dataclass(slots=True)
class Stream:
    """Steps of trees from one main source and what is mixed in."""

    main_trees: Trees
    mixed_sources: Sequence[MixtureSource]
    seed: int
    epochs: float
    batch_size: int
    batch_tokens: int | None = None
    _orders: dict[int, tuple[int, np.ndarray]] = field(default_factory=dict)
    _bounds: list[int] = field(default_factory=list)

    @property
    def num_examples(self) -> int:
        """Examples of all steps: `epochs` passes over the main source, and what is mixed in."""
        share = 1 - sum(source.share for source in self.mixed_sources)
        return max(1, round(self.epochs * len(self.main_trees) / share))

    @property
    def num_steps(self) -> int:
        """Steps that the epochs make; the last may be smaller."""
        if self.batch_tokens is None:
            return math.ceil(self.num_examples / self.batch_size)
        return len(self._boundaries()) - 1

    def steps(self, start: int, stop: int) -> Iterator[list[Tree]]:
        """Yield the trees of steps `start` … `stop` − 1."""
        for step in range(start, stop):
            yield self.step_trees(step)

    def step_trees(self, step: int) -> list[Tree]:
        """Return the trees of a step; after the epochs' last it goes on with the next epoch."""
        if self.batch_tokens is not None:
            bounds = self._boundaries()
            pass_index, step_in_pass = divmod(step, len(bounds) - 1)
            first = pass_index * self.num_examples
            return [
                self.example(first + i)
                for i in range(bounds[step_in_pass], bounds[step_in_pass + 1])
            ]
        steps_per_pass = math.ceil(self.num_examples / self.batch_size)
        pass_index, step_in_pass = divmod(step, steps_per_pass)
        first = step_in_pass * self.batch_size
        last = min(first + self.batch_size, self.num_examples)
        return [self.example(pass_index * self.num_examples + i) for i in range(first, last)]

    def _boundaries(self) -> list[int]:
        """Return where steps of `batch_tokens` begin: as many examples as fit, at least one."""
        if not self._bounds:
            assert self.batch_tokens is not None, "only for steps counted in tokens"
            ends = np.cumsum(
                [self.example(i).num_tokens for i in range(self.num_examples)]
            ).tolist()
            bounds = [0]
            while bounds[-1] < len(ends):
                tokens_before = ends[bounds[-1] - 1] if bounds[-1] else 0
                last_fitting = bisect.bisect_right(ends, tokens_before + self.batch_tokens)
                bounds.append(max(last_fitting, bounds[-1] + 1))
            self._bounds = bounds
        return self._bounds

    def example(self, index: int) -> Tree:
        """Return the `index`-th example of all."""
        source_index, source_position = self._locate(index)
        trees = self.main_trees if source_index == 0 else self.mixed_sources[source_index - 1].trees
        epoch, index_in_epoch = divmod(source_position, len(trees))
        if source_index not in self._orders or self._orders[source_index][0] != epoch:
            shuffled = counter_rng.permutation(
                counter_rng.key(self.seed, "order", source_index, epoch), len(trees)
            )
            self._orders[source_index] = (epoch, shuffled.numpy())
        return trees[int(self._orders[source_index][1][index_in_epoch])]

    def _locate(self, index: int) -> tuple[int, int]:
        """Return which source gives example `index`, and which of its examples it is.

        A source of share w gives an example wherever ⌊(i + 1) w⌋ > ⌊i w⌋; what is left goes to
        the next source, whose share is then w₂ / (1 − w₁), and at last to the main one.
        """
        remaining_share = 1.0
        for source_index, source in enumerate(self.mixed_sources, 1):
            share = source.share / remaining_share
            before, after = _rounded_floor(index * share), _rounded_floor((index + 1) * share)
            if after > before:
                return source_index, before
            index -= before
            remaining_share -= source.share
        return 0, index


def _rounded_floor(value: float) -> int:
    """Return ⌊value⌋, where 0.2 × 5 is 1 whatever its last bit."""
    return math.floor(value + 1e-9)
