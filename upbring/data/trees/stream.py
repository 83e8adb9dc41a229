"""The order of training examples: a pure function of (seed, epoch, index).

Resuming means starting at a later step. Mixed sources have fixed positions: with a replay share of
0.2, exactly one of every five examples comes from the replayed source.
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
    """Trees and their share of the examples."""

    trees: Trees
    share: float


@dataclass(slots=True)
class Stream:
    """Training steps of trees from one main source and mixed-in sources."""

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
        """Total examples: `epochs` passes over the main source, plus mixed-in examples."""
        share = 1 - sum(source.share for source in self.mixed_sources)
        return max(1, round(self.epochs * len(self.main_trees) / share))

    @property
    def num_steps(self) -> int:
        """Total steps of all epochs; the last step can be smaller."""
        if self.batch_tokens is None:
            return math.ceil(self.num_examples / self.batch_size)
        return len(self._boundaries()) - 1

    def steps(self, start: int, stop: int) -> Iterator[list[Tree]]:
        """Yield the trees of steps `start` … `stop` − 1."""
        for step in range(start, stop):
            yield self.step_trees(step)

    def step_trees(self, step: int) -> list[Tree]:
        """Return the trees of a step; after the last epoch, further epochs follow."""
        return [self.example(i) for i in self._step_examples(step)]

    def used_trees(self, num_steps: int) -> list[np.ndarray]:
        """Return the indices of the trees that the first steps use, of each source, in order."""
        used: list[set[int]] = [set() for _ in (self.main_trees, *self.mixed_sources)]
        for step in range(num_steps):
            for example in self._step_examples(step):
                source_index, tree_index = self._tree_of(example)
                used[source_index].add(tree_index)
        return [np.array(sorted(each), np.int64) for each in used]

    def _step_examples(self, step: int) -> range:
        """Return the examples of a step, as indices of the whole stream."""
        if self.batch_tokens is not None:
            bounds = self._boundaries()
            pass_index, step_in_pass = divmod(step, len(bounds) - 1)
            first, last = bounds[step_in_pass], bounds[step_in_pass + 1]
        else:
            steps_per_pass = math.ceil(self.num_examples / self.batch_size)
            pass_index, step_in_pass = divmod(step, steps_per_pass)
            first = step_in_pass * self.batch_size
            last = min(first + self.batch_size, self.num_examples)
        start = pass_index * self.num_examples
        return range(start + first, start + last)

    def _boundaries(self) -> list[int]:
        """Return the first example of each step of `batch_tokens`; a step has at least one."""
        if not self._bounds:
            assert self.batch_tokens is not None, "only for batches measured in tokens"
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
        """Return the example at `index` of the whole stream."""
        source_index, tree_index = self._tree_of(index)
        return self._source_trees(source_index)[tree_index]

    def _source_trees(self, source_index: int) -> Trees:
        return self.mixed_sources[source_index - 1].trees if source_index else self.main_trees

    def _tree_of(self, index: int) -> tuple[int, int]:
        """Return the source of example `index`, and the index of its tree there."""
        source_index, source_position = self._locate(index)
        trees = self._source_trees(source_index)
        epoch, index_in_epoch = divmod(source_position, len(trees))
        if source_index not in self._orders or self._orders[source_index][0] != epoch:
            shuffled = counter_rng.permutation(
                counter_rng.key(self.seed, "order", source_index, epoch), len(trees)
            )
            self._orders[source_index] = (epoch, shuffled.numpy())
        return source_index, int(self._orders[source_index][1][index_in_epoch])

    def _locate(self, index: int) -> tuple[int, int]:
        """Return the source of example `index` and the example's position in that source.

        A source with share w provides example i if ⌊(i + 1) w⌋ > ⌊i w⌋. The remaining examples go
        to the next source, whose share is then w₂ / (1 − w₁), and finally to the main source.
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


def make_replay_stream(
    mixed_sources: Sequence[MixtureSource], *, batch_size: int, seed: int
) -> Stream | None:
    """Return the rows to replay next to `batch_size` others in each step, or None without any."""
    if not mixed_sources:
        return None
    total = sum(source.share for source in mixed_sources)
    count = max(1, round(batch_size * total / (1 - total)))
    first, *others = mixed_sources
    rescaled = [MixtureSource(other.trees, other.share / total) for other in others]
    return Stream(first.trees, rescaled, seed, 1.0, count)


def _rounded_floor(value: float) -> int:
    """Return ⌊value⌋, robust to rounding errors, so that 0.2 × 5 gives 1."""
    return math.floor(value + 1e-9)
