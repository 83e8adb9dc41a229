"""Masks the special tokens that all branches of a tree share, for preference losses.

All responses usually end with the same stop token. In a preference loss, that token's probability
would have to increase and decrease at once (Llama 3, arXiv 2407.21783, §4.1.4). The header before
a response is part of the prompt and is never trained on.
"""

from collections.abc import Collection, Sequence
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from upbring.data.trees.tree import Tree


def unshared_token_masks(
    tree: Tree, special_tokens: Collection[int]
) -> tuple[npt.NDArray[np.float32], ...]:
    """Return a mask `[c]` per branch: 0 for special tokens that all branches start or end with.

    >>> from upbring.data.trees.tree import make_tree
    >>> [mask.tolist() for mask in unshared_token_masks(make_tree([1], [5, 9], [6, 7, 9]), {9})]
    [[1.0, 0.0], [1.0, 1.0, 0.0]]
    """
    rows = [branch.tokens.tolist() for branch in tree.branches]
    prefix_length = _shared_prefix_length(rows, special_tokens)
    suffix_length = _shared_prefix_length([row[::-1] for row in rows], special_tokens)
    masks = []
    for row in rows:
        mask = np.ones(len(row), np.float32)
        mask[:prefix_length] = 0
        mask[len(row) - suffix_length :] = 0
        masks.append(mask)
    return tuple(masks)


def _shared_prefix_length(rows: Sequence[Sequence[int]], special_tokens: Collection[int]) -> int:
    """Return the number of equal special tokens that all rows start with."""
    columns = zip(*rows, strict=False)
    equal = takewhile(lambda tokens: len(set(tokens)) == 1 and tokens[0] in special_tokens, columns)
    return sum(1 for _ in equal)
