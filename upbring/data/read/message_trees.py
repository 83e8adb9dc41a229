"""Trees of messages as OpenAssistant exports them → cases; rank 0 is best among siblings.

Every message with two or more ranked replies of the assistant is one comparison, its prompt the
path from the root. Demonstrations follow the best reply everywhere. Deleted messages are left out.
"""

import math
from collections.abc import Iterator

from upbring.data.read import dialogue
from upbring.data.read.format_readers import Case, check_count, dense_ranks, number
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields
from upbring.errors import shown

Node = dict[str, object]
Path = tuple[Message, ...]


def comparisons(fields: Fields) -> list[Case]:
    """Return a case for every message of the tree whose replies were ranked."""
    cases = []
    for node, path, field in _walk(fields):
        ranked = [r for r in _replies(node, field) if r.get("rank") is not None]
        if path[-1].role != "user" or len(ranked) < 2:  # noqa: PLR2004 -- a rank needs a rival
            continue
        check_count(f"{field}.replies", len(ranked))
        responses = tuple(_message(r, f"{field}.replies").content for r in ranked)
        ranks = dense_ranks([_rank(r, field) for r in ranked])
        cases.append(Case(path, responses, ranks))
    if not cases:
        raise UnusedError("no message of the tree has two ranked replies")
    return cases


def demonstrations(fields: Fields) -> list[Case]:
    """Return the dialogues that follow the assistant's best reply at every turn, to their ends."""
    cases = []
    for node, path, field in _walk(fields, is_best_only=True):
        goes_on = any(_replies(reply, field) for reply in _replies(node, field))
        if path[-1].role == "assistant" and not goes_on:
            cases.append(Case(path[:-1], (path[-1].content,)))
    if not cases:
        raise UnusedError("no message of the tree has a reply")
    return cases


def prompts(fields: Fields) -> list[Case]:
    """Return the tree's first message."""
    return [Case((_message(_root(fields), "prompt"),))]


def _root(fields: Fields) -> Node:
    root = fields.get("prompt")
    if not isinstance(root, dict):
        raise RowError("prompt", f"is {shown(root)}", "give the tree's first message")
    return root


def _walk(fields: Fields, *, is_best_only: bool = False) -> Iterator[tuple[Node, Path, str]]:
    """Yield each message with the path to it, itself last; no recursion, trees may be deep."""
    root = _root(fields)
    waiting: list[tuple[Node, Path, str]] = [(root, (_message(root, "prompt"),), "prompt")]
    while waiting:
        node, path, field = waiting.pop()
        yield node, path, field
        replies = _replies(node, field)
        if is_best_only and path[-1].role == "user":
            replies = sorted(replies, key=lambda reply: _rank(reply, field))[:1]
        for k, reply in reversed(list(enumerate(replies))):
            place = f"{field}.replies[{k}]" if len(field) < 100 else field  # noqa: PLR2004 -- a deep place is told well enough by its beginning
            said = dialogue.check_order((*path, _message(reply, place)), place)
            waiting.append((reply, said, place))


def _replies(node: Node, field: str) -> list[Node]:
    found = node.get("replies")
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(reply, dict) for reply in found):
        raise RowError(f"{field}.replies", f"is {shown(found)}", "give a list of messages")
    return [reply for reply in found if not reply.get("deleted")]


def _rank(node: Node, field: str) -> float:
    """Return the place among siblings, the last where a message was not ranked."""
    rank = node.get("rank")
    return math.inf if rank is None else number(rank, f"{field}.replies.rank")


def _message(node: Node, field: str) -> Message:
    return dialogue.message({"role": node.get("role"), "content": node.get("text")}, field)
