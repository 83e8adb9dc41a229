"""The data structure of all methods: a prompt and its branches, as tokens.

SFT has one branch, a pair two, a ranking K, rollouts n. This module uses numpy only; `batch.py`
builds the tensors for a device.
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
    """One response's tokens and their loss weights (0: not trained on).

    `per_token` holds further values per token, such as its log-probability at sampling.
    """

    tokens: Tokens
    weight: Weights
    per_token: NamedArrays = field(default_factory=dict)  # each [c]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A prompt of at least one token and the branches that continue it; `key` identifies the row.

    `per_branch` holds values per branch, such as its rank.
    """

    prompt: Tokens
    branches: tuple[Branch, ...]
    key: str
    per_branch: NamedArrays = field(default_factory=dict)  # each [K]

    @property
    def num_tokens(self) -> int:
        """Number of tokens in the forward pass: the prompt once, and all branches."""
        return len(self.prompt) + sum(len(branch.tokens) for branch in self.branches)

    @property
    def longest_path(self) -> int:
        """Length of the longest path from the first token to the end of a branch."""
        return len(self.prompt) + max((len(b.tokens) for b in self.branches), default=0)

    @property
    def num_weighted(self) -> int:
        """Number of trainable tokens."""
        return sum(int(np.count_nonzero(branch.weight)) for branch in self.branches)


class Trees(Protocol):
    """Trees by index: a list, a store on disk, or a subset of a store."""

    def __len__(self) -> int:
        """Return the number of trees."""

    def __getitem__(self, index: int, /) -> Tree:
        """Return one tree."""


def make_tree(prompt: Iterable[int], *responses: Sequence[int], key: str = "") -> Tree:
    """Return the tree with `responses` as branches; every response token has weight 1.

    >>> make_tree([1, 2], [3], [4, 5]).num_tokens
    5
    """
    branches = tuple(
        Branch(np.asarray(response, np.int32), np.ones(len(response), np.float32))
        for response in responses
    )
    return Tree(np.asarray(list(prompt), np.int32), branches, key)


def split_evenly(lengths: Sequence[int], num_groups: int) -> list[list[int]]:
    """Return item indices in `num_groups` groups of similar total length, each group sorted.

    Items are assigned longest first, each to the group with the smallest total.

    >>> split_evenly([5, 3, 4, 2], 2)
    [[0, 3], [1, 2]]
    """
    loads = [0] * num_groups
    groups: list[list[int]] = [[] for _ in range(num_groups)]
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        lightest = loads.index(min(loads))
        loads[lightest] += lengths[index]
        groups[lightest].append(index)
    return [sorted(group) for group in groups]


def pack(
    lengths: Sequence[int], budget: int, *, kinds: Sequence[int] | None = None
) -> list[list[int]]:
    """Return groups of indices whose lengths sum to at most `budget`, longest first.

    An item longer than the budget forms its own group. Items of different `kinds` never share a
    group. The algorithm is first-fit decreasing: deterministic, and at most 22 % more groups than
    the minimum.

    >>> pack([5, 3, 4, 2], 7)
    [[0, 3], [2, 1]]
    >>> pack([5, 3, 4, 2], 7, kinds=[0, 1, 1, 1])
    [[0], [2, 1], [3]]
    """
    kinds = kinds if kinds is not None else [0] * len(lengths)
    groups: list[list[int]] = []
    remaining: list[tuple[int, int]] = []  # per group: tokens left, kind
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
