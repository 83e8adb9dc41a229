"""Steps over a fixed data set and means over held-out rows, for all methods that are not on-policy.

The order and the mixture of rows are functions of the step, so there is no state to save.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree
from upbring.tracking import Track, no_tracking
from upbring.train import processes
from upbring.train.algorithm import Terms


@dataclass(frozen=True, slots=True, eq=False)
class ShardedStep:
    """The trees of a step, and those of them that this process computes."""

    trees: list[Tree]
    own: list[Tree]


def iterate_steps(stream: Stream, start: int, steps: int) -> Iterator[ShardedStep]:
    """Yield the trees of each step from `start` on."""
    for trees in stream.steps(start, steps):
        shard = processes.shard([tree.num_tokens for tree in trees])
        yield ShardedStep(trees, [trees[i] for i in shard])


@torch.no_grad()
def held_out_means(
    loss: Callable[[Batch], Terms],
    batches: Sequence[Batch],
    poll: Callable[[], None],
    track: Track = no_tracking,
) -> dict[str, float]:
    """Return the weighted mean of each term over held-out batches, and their total as `loss`.

    Empty if no item has a weight. `poll` raises when the user wants to stop.
    """
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, dtype=torch.float64))
    coefficients: dict[str, float] = {}
    for batch in track(batches, total=len(batches), label="held-out evaluation"):
        poll()
        for name, term in loss(batch).items():
            weight = term.weight.double()
            sums[name] = (
                sums[name] + torch.stack([(term.loss.double() * weight).sum(), weight.sum()]).cpu()
            )
            coefficients[name] = term.coefficient
    means = {name: float(total / weight) for name, (total, weight) in sums.items() if weight > 0}
    if not means:
        return {}
    return {"loss": sum(coefficients[name] * mean for name, mean in means.items()), **means}


class Stateless:
    """The state of an algorithm that has none, and no metric whose first value is known."""

    def first_step_error(self, values: Mapping[str, float]) -> str | None:
        """Return None: any value is possible."""
        del values
        return None

    def state(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Accept an empty state only."""
        assert not state, f"{type(self).__name__} keeps no state, but got {sorted(state)}"
