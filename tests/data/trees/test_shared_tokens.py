"""Control tokens that all branches share."""

import pytest

from upbring.data.trees.shared_tokens import unshared_token_masks
from upbring.data.trees.tree import make_tree


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        ([[5, 9], [6, 7, 9]], [[1, 0], [1, 1, 0]]),
        ([[8, 5, 9], [8, 6, 9]], [[0, 1, 0], [0, 1, 0]]),
        ([[5, 9], [6, 7]], [[1, 1], [1, 1]]),  # cut at its end: the token is not shared
        ([[5, 7, 9], [6, 7, 9]], [[1, 1, 0], [1, 1, 0]]),  # a word is no control token
        ([[5, 8, 9], [6, 9]], [[1, 1, 0], [1, 0]]),
        ([[9], [9]], [[0], [0]]),
    ],
)
def test_controls_that_all_begin_or_end_with_do_not_count(
    branches: list[list[int]], expected: list[list[float]]
) -> None:
    found = unshared_token_masks(make_tree([1], *branches), {8, 9})
    assert [each.tolist() for each in found] == expected
