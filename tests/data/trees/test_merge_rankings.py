import numpy as np

from upbring.data.trees.merge_rankings import MAX_BRANCHES, merge_by_prompt, merge_trees, row_keys
from upbring.data.trees.tree import Tree, make_tree


def row(prompt: list[int], count: int, key: str) -> Tree:
    tree = make_tree(prompt, *[[10 + k] for k in range(count)], key=key)
    return Tree(tree.prompt, tree.branches, key, {"rank": np.arange(1.0, count + 1)})


def test_rows_of_one_prompt_are_one_tree_with_separate_rankings() -> None:
    rows = [row([1, 2], 2, "a"), row([3], 2, "b"), row([1, 2], 3, "c")]
    merged = merge_by_prompt(rows)
    assert [merged[i].key for i in range(len(merged))] == ["a\nc", "b"]
    both = merged[0]
    assert both.prompt.tolist() == [1, 2]
    assert [b.tokens.tolist() for b in both.branches] == [[10], [11], [10], [11], [12]]
    assert both.per_branch["rank"].tolist() == [1, 2, 1, 2, 3]
    assert both.per_branch["ranking"].tolist() == [0, 0, 1, 1, 1]
    assert merged[1].per_branch["ranking"].tolist() == [0, 0]


def test_a_tree_has_no_more_branches_than_a_ranking_may_have() -> None:
    merged = merge_by_prompt([row([1], 4, str(i)) for i in range(5)])
    assert [len(merged[i].branches) for i in range(len(merged))] == [8, 8, 4]
    assert MAX_BRANCHES == 9


def test_a_merged_tree_has_the_keys_of_its_rows() -> None:
    merged = merge_by_prompt([row([1], 2, "x:1"), row([2], 2, "x:2"), row([1], 2, "x:3")])
    assert row_keys(merged) == {"x:1", "x:2", "x:3"}
    assert (
        merge_trees([row([1], 2, "x:1"), row([1], 2, "x:1")]).key == "x:1"
    )  # two rankings of one line
