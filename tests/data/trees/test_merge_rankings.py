import numpy as np

from upbring.data.trees.merge_rankings import MAX_BRANCHES, merge_by_prompt, merge_trees, row_keys
from upbring.data.trees.tree import Tree, make_tree


def row(prompt: list[int], count: int, key: str) -> Tree:
    made = make_tree(prompt, *[[10 + k] for k in range(count)], key=key)
    return Tree(made.prompt, made.branches, key, {"rank": np.arange(1.0, count + 1)})


def test_rows_of_one_prompt_become_one_tree_and_remain_rankings() -> None:
    rows = [row([1, 2], 2, "a"), row([3], 2, "b"), row([1, 2], 3, "c")]
    found = merge_by_prompt(rows)
    assert [found[i].key for i in range(len(found))] == ["a\nc", "b"]
    both = found[0]
    assert both.prompt.tolist() == [1, 2]
    assert [b.tokens.tolist() for b in both.branches] == [[10], [11], [10], [11], [12]]
    assert both.per_branch["rank"].tolist() == [1, 2, 1, 2, 3]
    assert both.per_branch["ranking"].tolist() == [0, 0, 1, 1, 1]
    assert found[1].per_branch["ranking"].tolist() == [0, 0]


def test_a_tree_has_no_more_branches_than_a_ranking_may_have() -> None:
    found = merge_by_prompt([row([1], 4, str(i)) for i in range(5)])
    assert [len(found[i].branches) for i in range(len(found))] == [8, 8, 4]
    assert MAX_BRANCHES == 9


def test_rows_of_a_tree_are_known_by_their_keys() -> None:
    found = merge_by_prompt([row([1], 2, "x:1"), row([2], 2, "x:2"), row([1], 2, "x:3")])
    assert row_keys(found) == {"x:1", "x:2", "x:3"}
    assert merge_trees([row([1], 2, "x:1"), row([1], 2, "x:1")]).key == "x:1"  # several of one line
