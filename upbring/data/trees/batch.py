"""Trees packed end to end into one ragged row of tensors: no padding anywhere.

The shift by one lives here: `source[r]` is the place of the token whose hidden state predicts
weighted token r. Everything per token that is computed later is `[R]`, in this order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upbring.data.trees.tree import Numbers, Tree


@dataclass(frozen=True, slots=True)
class Span:
    """Where a tree lies in the row: its first place, its prompt's length, its branches' lengths."""

    start: int
    prompt: int
    branches: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The place after the tree's last token."""
        return self.start + self.prompt + sum(self.branches)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """P trees with N branches as one row of T tokens, R of them weighted."""

    tokens: Tensor  # [T] int64
    positions: Tensor  # [T] int64; a branch continues from its prompt's end
    source: Tensor  # [R] int64, places in T
    target: Tensor  # [R] int64, token ids
    weight: Tensor  # [R] float32, positive
    branch: Tensor  # [R] int64, into N
    tree: Tensor  # [N] int64, into P
    last: Tensor  # [N] int64, place in T of each branch's last token
    spans: tuple[Span, ...]  # P
    keys: tuple[str, ...]  # P
    lanes: int = 1  # rows, from this one on, that are computed at the same time
    facts: Mapping[str, Tensor] = field(default_factory=dict)  # of each [N] float32; NaN: unknown
    notes: Mapping[str, Tensor] = field(default_factory=dict)  # of each [R] float32; NaN: unknown

    @property
    def num_tokens(self) -> int:
        """T, the tokens that are computed."""
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
            branch=self.branch.to(device),
            tree=self.tree.to(device),
            last=self.last.to(device),
            facts={name: values.to(device) for name, values in self.facts.items()},
            notes={name: values.to(device) for name, values in self.notes.items()},
        )


def make_batch(trees: Sequence[Tree]) -> Batch:
    """Return `trees` packed end to end, in their order."""
    tokens, positions, spans = [], [], []
    source, target, weight, branch, owner, last = [], [], [], [], [], []
    place = num_branches = 0
    for index, tree in enumerate(trees):
        p = len(tree.prompt)
        assert p > 0, f"tree {tree.key!r} has no prompt token to predict its branches from"
        tokens.append(tree.prompt)
        positions.append(np.arange(p))
        end_of_prompt, start = place + p - 1, place + p
        for item in tree.branches:
            c = len(item.tokens)
            assert c > 0, f"tree {tree.key!r} has an empty branch"
            (chosen,) = np.nonzero(item.weight)
            tokens.append(item.tokens)
            positions.append(np.arange(p, p + c))
            source.append(np.where(chosen == 0, end_of_prompt, start + chosen - 1))
            target.append(item.tokens[chosen])
            weight.append(item.weight[chosen])
            branch.append(np.full(len(chosen), num_branches))
            owner.append(index)
            last.append(start + c - 1)
            start += c
            num_branches += 1
        spans.append(Span(place, p, tuple(len(item.tokens) for item in tree.branches)))
        place = start
    return Batch(
        tokens=_integers(tokens),
        positions=_integers(positions),
        source=_integers(source),
        target=_integers(target),
        weight=torch.from_numpy(np.concatenate([*weight, np.empty(0)]).astype(np.float32)),
        branch=_integers(branch),
        tree=torch.tensor(owner, dtype=torch.int64),
        last=torch.tensor(last, dtype=torch.int64),
        spans=tuple(spans),
        keys=tuple(tree.key for tree in trees),
        facts=_numbers((tree.facts, len(tree.branches), slice(None)) for tree in trees),
        notes=_numbers(
            (item.notes, len(item.tokens), np.flatnonzero(item.weight))
            for tree in trees
            for item in tree.branches
        ),
    )


def _numbers(parts: Iterable[tuple[Numbers, int, Any]]) -> dict[str, Tensor]:
    """Return numbers by name, end to end, of each part those that were chosen."""
    parts = list(parts)
    rows = {
        name: [
            np.asarray(numbers.get(name, np.full(size, np.nan)))[chosen]
            for numbers, size, chosen in parts
        ]
        for name in sorted({name for numbers, _, _ in parts for name in numbers})
    }
    return {n: torch.from_numpy(np.concatenate(r).astype(np.float32)) for n, r in rows.items()}


def _integers(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64))
