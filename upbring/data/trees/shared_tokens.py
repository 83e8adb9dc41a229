"""Control tokens that all branches of a tree share: in a comparison they say nothing of quality.

A response ends with the same stop token as the others. Learned from as part of a comparison, that
token would have to become likelier and less likely at once (Llama 3, arXiv 2407.21783, §4.1.4). The
header before a response stands in the prompt and is never learned.
"""

from collections.abc import Collection, Sequence
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from upbring.data.trees.tree import Tree


def own(tree: Tree, controls: Collection[int]) -> tuple[npt.NDArray[np.float32], ...]:
    """Return of each branch `[c]` which tokens count: 0 for controls that all begin or end with.

    >>> from upbring.data.trees.tree import tree
    >>> [found.tolist() for found in own(tree([1], [5, 9], [6, 7, 9]), {9})]
    [[1.0, 0.0], [1.0, 1.0, 0.0]]
    """
    rows = [branch.tokens.tolist() for branch in tree.branches]
    head = _shared(rows, controls)
    tail = _shared([row[::-1] for row in rows], controls)
    found = []
    for row in rows:
        counts = np.ones(len(row), np.float32)
        counts[:head] = 0
        counts[len(row) - tail :] = 0
        found.append(counts)
    return tuple(found)


def _shared(rows: Sequence[Sequence[int]], controls: Collection[int]) -> int:
    """Return with how many equal controls all rows begin."""
    places = zip(*rows, strict=False)
    equal = takewhile(lambda tokens: len(set(tokens)) == 1 and tokens[0] in controls, places)
    return sum(1 for _ in equal)
