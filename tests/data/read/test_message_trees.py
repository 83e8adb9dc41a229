import pytest

from upbring.data.read import message_trees as trees
from upbring.data.read.format_readers import ParsedExample
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError, UnusedError


def _node(role: str, text: str, *replies: object, rank: int | None = None) -> dict[str, object]:
    node: dict[str, object] = {"role": role, "text": text, "replies": list(replies)}
    return node if rank is None else {**node, "rank": rank}


def _tree() -> dict[str, object]:
    """Return Q with replies a (rank 1), b (rank 0), c (unranked); after b comes R with d, e."""
    after = _node("prompter", "R", *(_node("assistant", t, rank=k) for k, t in enumerate("de")))
    return {
        "prompt": _node(
            "prompter",
            "Q",
            _node("assistant", "a", rank=1),
            _node("assistant", "b", after, rank=0),
            _node("assistant", "c"),
        )
    }


Q, B, R = Message("user", "Q"), Message("assistant", "b"), Message("user", "R")


def test_every_message_with_ranked_replies_is_a_comparison() -> None:
    assert trees.read_comparisons(_tree()) == [
        ParsedExample((Q,), ("a", "b"), (2.0, 1.0)),
        ParsedExample((Q, B, R), ("d", "e"), (1.0, 2.0)),
    ]


def test_demonstrations_follow_the_best_replies() -> None:
    assert trees.read_demonstrations(_tree()) == [ParsedExample((Q, B, R), ("d",))]


def test_the_prompt_is_the_first_message() -> None:
    assert trees.read_prompts(_tree()) == [ParsedExample((Q,))]


def test_deleted_messages_are_left_out() -> None:
    deleted = {**_node("assistant", "b", rank=0), "deleted": True}
    tree = {"prompt": _node("prompter", "Q", _node("assistant", "a", rank=1), deleted)}
    assert trees.read_demonstrations(tree) == [ParsedExample((Q,), ("a",))]
    with pytest.raises(UnusedError, match="no message of the tree has two ranked replies"):
        trees.read_comparisons(tree)


def test_a_tree_without_replies_is_unused() -> None:
    with pytest.raises(UnusedError, match="has a reply"):
        trees.read_demonstrations({"prompt": _node("prompter", "Q")})


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("Q", "prompt: is 'Q'; give the tree's first message"),
        (_node("bot", "Q"), "prompt.role: 'bot' is unknown"),
        (
            _node("prompter", "Q", _node("prompter", "R")),
            "prompt.replies[0]: turn 2 has role user, but after user only",
        ),
        (
            _node("prompter", "Q", *(_node("assistant", t, rank=10**400) for t in "ab")),
            "prompt.replies.rank: is 1000",
        ),
        ({"role": "prompter", "text": "Q", "replies": ["a"]}, "prompt.replies: is ['a']; give a"),
    ],
)
def test_what_is_wrong_with_a_tree_is_reported(prompt: object, message: str) -> None:
    with pytest.raises(RowError) as caught:
        trees.read_comparisons({"prompt": prompt})
    assert message in str(caught.value)


def test_more_than_nine_ranked_replies_are_reported() -> None:
    replies = [_node("assistant", f"a{k}", rank=k) for k in range(10)]
    with pytest.raises(RowError, match="contains 10 responses; give 2 to 9"):
        trees.read_comparisons({"prompt": _node("prompter", "Q", *replies)})


def test_a_deep_tree_is_walked_without_recursion() -> None:
    node = _node("assistant", "end")
    for k in range(600):
        node = _node("prompter" if k % 2 == 0 else "assistant", str(k), node)
    root = node if node["role"] == "prompter" else _node("prompter", "Q", node)
    (example,) = trees.read_demonstrations({"prompt": root})
    assert example.responses == ("end",)
