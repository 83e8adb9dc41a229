"""Special tokens that all branches share."""

import pytest

from upbring.data.trees.shared_tokens import unshared_token_masks
from upbring.data.trees.tree import make_tree


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        ([[5, 9], [6, 7, 9]], [[1, 0], [1, 1, 0]]),
        ([[8, 5, 9], [8, 6, 9]], [[0, 1, 0], [0, 1, 0]]),
        ([[5, 9], [6, 7]], [[1, 1], [1, 1]]),  # truncated: the token is not shared
        ([[5, 7, 9], [6, 7, 9]], [[1, 1, 0], [1, 1, 0]]),  # an ordinary token is kept
        ([[5, 8, 9], [6, 9]], [[1, 1, 0], [1, 0]]),
        ([[9], [9]], [[0], [0]]),
    ],
)
def test_special_tokens_that_all_branches_start_or_end_with_are_masked(
    branches: list[list[int]], expected: list[list[float]]
) -> None:
    masks = unshared_token_masks(make_tree([1], *branches), {8, 9})
    assert [each.tolist() for each in masks] == expected
