import numpy as np
import pytest
import torch

from upbring.data.trees.batch import TreeSpan, make_batch
from upbring.data.trees.tree import Branch, Tree, make_tree


def test_a_batch_is_its_trees_end_to_end() -> None:
    # Computed by hand. Row: 1 2 3 | 4 | 5 6 ‖ 7 | 8 9
    batch = make_batch(
        [make_tree([1, 2, 3], [4], [5, 6], key="a"), make_tree([7], [8, 9], key="b")]
    )
    assert batch.tokens.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert batch.positions.tolist() == [0, 1, 2, 3, 3, 4, 0, 1, 2]
    assert batch.source.tolist() == [2, 2, 4, 6, 7]  # both branches are predicted from index 2
    assert batch.target.tolist() == [4, 5, 6, 8, 9]
    assert batch.branch_index.tolist() == [0, 1, 1, 2, 2]
    assert batch.tree_index.tolist() == [0, 0, 1]
    assert batch.last_index.tolist() == [3, 5, 8]
    assert batch.spans == (TreeSpan(0, 3, (1, 2)), TreeSpan(6, 1, (2,)))
    assert batch.keys == ("a", "b")
    assert batch.num_tokens == 9


def test_tokens_without_weight_are_input_but_not_targets() -> None:
    branch = Branch(np.array([4, 5, 6], np.int32), np.array([0, 0.5, 0], np.float32))
    batch = make_batch([Tree(np.array([1, 2], np.int32), (branch,), "a")])
    assert batch.tokens.tolist() == [1, 2, 4, 5, 6]
    assert (batch.source.tolist(), batch.target.tolist()) == ([2], [5])
    assert batch.weight.tolist() == [0.5]
    assert batch.weight.dtype == torch.float32


def test_per_branch_values_are_by_branch_and_per_token_values_by_weighted_token() -> None:
    weight = np.array([0, 1, 1], np.float32)
    noted = Branch(np.array([4, 5, 6], np.int32), weight, {"old": np.array([0.1, 0.2, 0.3])})
    plain = Branch(np.array([7], np.int32), np.ones(1, np.float32))
    prompt = np.array([1, 2], np.int32)
    ranked = Tree(prompt, (noted, plain), "a", {"rank": np.array([1.0, 2.0])})
    batch = make_batch([ranked, make_tree([3], [8], key="b")])
    assert batch.per_branch["rank"].tolist()[:2] == [1, 2]
    assert batch.per_branch["rank"].isnan().tolist() == [False, False, True]
    assert batch.per_token["old"][:2].tolist() == pytest.approx([0.2, 0.3])
    assert batch.per_token["old"].isnan().tolist() == [False, False, True, True]
    moved = batch.to(torch.device("meta"))
    assert moved.per_branch["rank"].device.type == moved.per_token["old"].device.type == "meta"


def test_a_branch_needs_a_token_before_it() -> None:
    with pytest.raises(AssertionError, match="no prompt token"):
        make_batch([make_tree([], [1], key="x")])


def test_a_tree_can_be_a_prompt_without_branches() -> None:
    batch = make_batch([make_tree([1, 2])])
    assert batch.num_tokens == 2
    assert batch.source.shape == batch.weight.shape == (0,)
