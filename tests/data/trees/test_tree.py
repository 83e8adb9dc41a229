import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from upbring.data.trees.tree import Branch, Tree, make_tree, pack

LENGTHS = st.lists(st.integers(1, 30), max_size=30)


def test_a_tree_counts_its_prompt_once() -> None:
    item = make_tree([1, 2, 3], [4], [5, 6], key="a")
    assert (item.num_tokens, item.longest_path, item.num_weighted) == (6, 5, 3)


def test_only_weighted_tokens_are_trainable() -> None:
    branch = Branch(np.array([4, 5], np.int32), np.array([0, 1], np.float32))
    assert Tree(np.array([1], np.int32), (branch,), "a").num_weighted == 1


@given(LENGTHS, st.integers(1, 40))
def test_packing_loses_nothing_and_keeps_the_budget(lengths: list[int], budget: int) -> None:
    groups = pack(lengths, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[i] for i in group) <= budget


@given(LENGTHS, st.integers(1, 40))
def test_kinds_never_share_a_group(lengths: list[int], budget: int) -> None:
    kinds = [length > 10 for length in lengths]
    for group in pack(lengths, budget, kinds=kinds):
        assert len({kinds[i] for i in group}) == 1
