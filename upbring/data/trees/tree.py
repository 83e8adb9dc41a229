"""The one shape of data: a prompt and its branches, as tokens.

SFT has one branch, a pair two, a ranking K, rollouts n. Numpy only: what a device needs is made
of trees in `batch`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]
Weights = npt.NDArray[np.float32]
Numbers = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One response's tokens and how much each of them is learned from (0: not at all).

    `notes` are further numbers about each token, such as the log-probability it was drawn with.
    """

    tokens: Tokens
    weight: Weights
    notes: Numbers = field(default_factory=dict)  # of each [c]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A prompt of at least one token and the branches that continue it; `key` names its row.

    `facts` are numbers about each branch, such as its rank.
    """

    prompt: Tokens
    branches: tuple[Branch, ...]
    key: str
    facts: Numbers = field(default_factory=dict)  # of each [K]

    @property
    def num_tokens(self) -> int:
        """Tokens that are computed: the prompt's once, and every branch's."""
        return len(self.prompt) + sum(len(branch.tokens) for branch in self.branches)

    @property
    def longest(self) -> int:
        """Length of the longest path from the first token to the end of a branch."""
        return len(self.prompt) + max((len(b.tokens) for b in self.branches), default=0)

    @property
    def num_weighted(self) -> int:
        """Tokens that are learned from."""
        return sum(int(np.count_nonzero(branch.weight)) for branch in self.branches)


class Trees(Protocol):
    """Many trees by index: a list, a file of them, or some of a file's."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int, /) -> Tree:
        """Return one of them."""


def tree(prompt: Iterable[int], *responses: Sequence[int], key: str = "") -> Tree:
    """Return the tree whose branches are `responses`, every token of them weighing 1.

    >>> tree([1, 2], [3], [4, 5]).num_tokens
    5
    """
    branches = tuple(
        Branch(np.asarray(response, np.int32), np.ones(len(response), np.float32))
        for response in responses
    )
    return Tree(np.asarray(list(prompt), np.int32), branches, key)


def dealt(lengths: Sequence[int], count: int) -> list[list[int]]:
    """Return the places of the items in `count` hands that hold about as much, each in order.

    The longest first, each to the hand with the least so far.

    >>> dealt([5, 3, 4, 2], 2)
    [[0, 3], [1, 2]]
    """
    loads = [0] * count
    hands: list[list[int]] = [[] for _ in range(count)]
    for item in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        hand = loads.index(min(loads))
        loads[hand] += lengths[item]
        hands[hand].append(item)
    return [sorted(hand) for hand in hands]


def pack(
    lengths: Sequence[int], budget: int, *, kinds: Sequence[int] | None = None
) -> list[list[int]]:
    """Return groups of indices whose lengths sum to at most `budget`, longest first.

    An item longer than the budget is a group of its own. Items of different `kinds` never share
    a group. First-fit decreasing: within 22 % of the fewest groups, and always the same ones.

    >>> pack([5, 3, 4, 2], 7)
    [[0, 3], [2, 1]]
    >>> pack([5, 3, 4, 2], 7, kinds=[0, 1, 1, 1])
    [[0], [2, 1], [3]]
    """
    kinds = kinds if kinds is not None else [0] * len(lengths)
    groups: list[list[int]] = []
    room: list[tuple[int, int]] = []  # of each group: tokens left, kind
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for g, (left, kind) in enumerate(room):
            if lengths[index] <= left and kind == kinds[index]:
                groups[g].append(index)
                room[g] = (left - lengths[index], kind)
                break
        else:
            groups.append([index])
            room.append((budget - lengths[index], kinds[index]))
    return groups
