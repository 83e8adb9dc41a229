"""Rows that rank responses to the same prompt, as one tree.

They are computed on the prompt once, learned from in one step, and held out together. Each row
remains a ranking of its own: the fact `ranking` says which of them a branch belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upbring.data.trees.tree import Tree, Trees

MAX_BRANCHES = 9  # of one tree, as a ranking may have; further rows of the prompt make another
KEY_SEPARATOR = "\n"  # of the keys of rows that became one tree


@dataclass(frozen=True, eq=False)
class MergedTrees:
    """The trees of `trees`, those of one prompt as one."""

    trees: Trees
    groups: Sequence[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Tree:
        return merge_trees([self.trees[place] for place in self.groups[index]])


def merge_by_prompt(trees: Trees) -> MergedTrees:
    """Return the trees with those of one prompt together, in the order of their first rows."""
    groups: list[list[int]] = []
    open_groups: dict[bytes, tuple[int, int]] = {}  # of each prompt: its last group, branches in it
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
    """Return trees of one prompt as one tree, with the fact which of them a branch is of."""
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
    """Return the keys of all rows that the trees were made of."""
    return {key for i in range(len(trees)) for key in trees[i].key.split(KEY_SEPARATOR)}
