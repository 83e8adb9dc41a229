"""Packs trees end to end into one row of tensors, without padding.

The shift by one is done here: `source[r]` is the position of the token whose hidden state predicts
weighted token r. All later per-token tensors are `[R]`, in this order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upbring.data.trees.tree import NamedArrays, Tree


@dataclass(frozen=True, slots=True)
class TreeSpan:
    """A tree's position in the row: first index, prompt length, branch lengths."""

    start: int
    prompt_length: int
    branch_lengths: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The index after the tree's last token."""
        return self.start + self.prompt_length + sum(self.branch_lengths)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """P trees with N branches as one row of T tokens, R of them weighted."""

    tokens: Tensor  # [T] int64
    positions: Tensor  # [T] int64; each branch continues from the end of its prompt
    source: Tensor  # [R] int64, into T
    target: Tensor  # [R] int64, token ids
    weight: Tensor  # [R] float32, positive
    branch_index: Tensor  # [R] int64, into N
    tree_index: Tensor  # [N] int64, into P
    last_index: Tensor  # [N] int64, into T: each branch's last token
    spans: tuple[TreeSpan, ...]  # P
    keys: tuple[str, ...]  # P
    # Each value is [N] float32; NaN: unknown.
    per_branch: Mapping[str, Tensor] = field(default_factory=dict)
    # Each value is [R] float32; NaN: unknown.
    per_token: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """T, the number of tokens in the forward pass."""
        return self.tokens.shape[0]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on `device`."""
        return replace(
            self,
            tokens=self.tokens.to(device),
            positions=self.positions.to(device),
            source=self.source.to(device),
            target=self.target.to(device),
            weight=self.weight.to(device),
            branch_index=self.branch_index.to(device),
            tree_index=self.tree_index.to(device),
            last_index=self.last_index.to(device),
            per_branch={name: values.to(device) for name, values in self.per_branch.items()},
            per_token={name: values.to(device) for name, values in self.per_token.items()},
        )


def make_batch(trees: Sequence[Tree]) -> Batch:
    """Return `trees` packed end to end, in order."""
    tokens, positions, spans = [], [], []
    source, target, weight, branch, branch_trees, last_positions = [], [], [], [], [], []
    offset = num_branches = 0
    for index, tree in enumerate(trees):
        p = len(tree.prompt)
        assert p > 0, f"tree {tree.key!r} has no prompt token from which its branches are predicted"
        tokens.append(tree.prompt)
        positions.append(np.arange(p))
        end_of_prompt, start = offset + p - 1, offset + p
        for tree_branch in tree.branches:
            c = len(tree_branch.tokens)
            assert c > 0, f"tree {tree.key!r} has an empty branch"
            (weighted,) = np.nonzero(tree_branch.weight)
            tokens.append(tree_branch.tokens)
            positions.append(np.arange(p, p + c))
            source.append(np.where(weighted == 0, end_of_prompt, start + weighted - 1))
            target.append(tree_branch.tokens[weighted])
            weight.append(tree_branch.weight[weighted])
            branch.append(np.full(len(weighted), num_branches))
            branch_trees.append(index)
            last_positions.append(start + c - 1)
            start += c
            num_branches += 1
        spans.append(TreeSpan(offset, p, tuple(len(item.tokens) for item in tree.branches)))
        offset = start
    return Batch(
        tokens=_concatenate_integers(tokens),
        positions=_concatenate_integers(positions),
        source=_concatenate_integers(source),
        target=_concatenate_integers(target),
        weight=torch.from_numpy(np.concatenate([*weight, np.empty(0)]).astype(np.float32)),
        branch_index=_concatenate_integers(branch),
        tree_index=torch.tensor(branch_trees, dtype=torch.int64),
        last_index=torch.tensor(last_positions, dtype=torch.int64),
        spans=tuple(spans),
        keys=tuple(tree.key for tree in trees),
        per_branch=_concatenate_by_name(
            (tree.per_branch, len(tree.branches), slice(None)) for tree in trees
        ),
        per_token=_concatenate_by_name(
            (item.per_token, len(item.tokens), np.flatnonzero(item.weight))
            for tree in trees
            for item in tree.branches
        ),
    )


def _concatenate_by_name(parts: Iterable[tuple[NamedArrays, int, Any]]) -> dict[str, Tensor]:
    """Return the selected values of each part by name, concatenated; NaN where a name is absent."""
    parts = list(parts)
    rows = {
        name: [
            np.asarray(numbers.get(name, np.full(size, np.nan)))[chosen]
            for numbers, size, chosen in parts
        ]
        for name in sorted({name for numbers, _, _ in parts for name in numbers})
    }
    return {n: torch.from_numpy(np.concatenate(r).astype(np.float32)) for n, r in rows.items()}


def _concatenate_integers(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64))
