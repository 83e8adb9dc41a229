"""Merges rows that rank responses to the same prompt into one tree.

The prompt is then computed once, and the rows are trained on in one step and held out together.
Each row remains a separate ranking: the per-branch value `ranking` is the index of a branch's row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upbring.data.trees.tree import Tree, Trees

MAX_BRANCHES = 9  # per tree, the maximum of one ranking; more rows of a prompt form another tree
KEY_SEPARATOR = "\n"  # joins the keys of merged rows


@dataclass(frozen=True, eq=False)
class MergedTrees:
    """A view of `trees` in which the trees of one prompt are merged."""

    trees: Trees
    groups: Sequence[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Tree:
        return merge_trees([self.trees[member] for member in self.groups[index]])


def merge_by_prompt(trees: Trees) -> MergedTrees:
    """Return the trees merged by prompt, in the order of each prompt's first row."""
    groups: list[list[int]] = []
    open_groups: dict[bytes, tuple[int, int]] = {}  # by prompt: last group, its branches
    for index in range(len(trees)):
        tree = trees[index]
        prompt, size = np.asarray(tree.prompt, np.int32).tobytes(), len(tree.branches)
        group_index, count = open_groups.get(prompt, (-1, MAX_BRANCHES))
        if count + size <= MAX_BRANCHES:
            groups[group_index].append(index)
        else:
            group_index, count = len(groups), 0
            groups.append([index])
        open_groups[prompt] = (group_index, count + size)
    return MergedTrees(trees, [tuple(group) for group in groups])


def merge_trees(trees: Sequence[Tree]) -> Tree:
    """Return trees with the same prompt as one tree; `ranking` is the tree of each branch."""
    sizes = [len(tree.branches) for tree in trees]
    facts = {
        name: np.concatenate([tree.per_branch[name] for tree in trees])
        for name in trees[0].per_branch
    }
    return Tree(
        prompt=trees[0].prompt,
        branches=tuple(branch for tree in trees for branch in tree.branches),
        key=KEY_SEPARATOR.join(dict.fromkeys(tree.key for tree in trees)),
        per_branch={**facts, "ranking": np.repeat(np.arange(float(len(trees))), sizes)},
    )


def row_keys(trees: Trees) -> set[str]:
    """Return the keys of all rows that are part of the trees."""
    return {key for i in range(len(trees)) for key in trees[i].key.split(KEY_SEPARATOR)}
