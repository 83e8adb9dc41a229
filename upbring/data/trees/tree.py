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
NamedArrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One response's tokens and how much each of them is learned from (0: not at all).

    `per_token` are further numbers about each token, such as the log-probability it was drawn with.
    """

    tokens: Tokens
    weight: Weights
    per_token: NamedArrays = field(default_factory=dict)  # of each [c]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A prompt of at least one token and the branches that continue it; `key` names its row.

    `per_branch` are numbers about each branch, such as its rank.
    """

    prompt: Tokens
    branches: tuple[Branch, ...]
    key: str
    per_branch: NamedArrays = field(default_factory=dict)  # of each [K]

    @property
    def num_tokens(self) -> int:
        """Tokens that are computed: the prompt's once, and every branch's."""
        return len(self.prompt) + sum(len(branch.tokens) for branch in self.branches)

    @property
    def longest_path(self) -> int:
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


def make_tree(prompt: Iterable[int], *responses: Sequence[int], key: str = "") -> Tree:
    """Return the tree whose branches are `responses`, every token of them weighing 1.

    >>> make_tree([1, 2], [3], [4, 5]).num_tokens
    5
    """
    branches = tuple(
        Branch(np.asarray(response, np.int32), np.ones(len(response), np.float32))
        for response in responses
    )
    return Tree(np.asarray(list(prompt), np.int32), branches, key)


def split_evenly(lengths: Sequence[int], num_groups: int) -> list[list[int]]:
    """Return the places of the items in `num_groups` hands that hold about as much, each in order.

    The longest first, each to the hand with the least so far.

    >>> split_evenly([5, 3, 4, 2], 2)
    [[0, 3], [1, 2]]
    """
    loads = [0] * num_groups
    groups: list[list[int]] = [[] for _ in range(num_groups)]
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        lightest = loads.index(min(loads))
        loads[lightest] += lengths[index]
        groups[lightest].append(index)
    return [sorted(hand) for hand in groups]


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
    remaining: list[tuple[int, int]] = []  # of each group: tokens left, kind
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for g, (tokens_left, kind) in enumerate(remaining):
            if lengths[index] <= tokens_left and kind == kinds[index]:
                groups[g].append(index)
                remaining[g] = (tokens_left - lengths[index], kind)
                break
        else:
            groups.append([index])
            remaining.append((budget - lengths[index], kinds[index]))
    return groups
