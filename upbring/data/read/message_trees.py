"""Parse message trees as exported by OpenAssistant; rank 0 is the best among siblings.

Every user message with two or more ranked assistant replies becomes one comparison; its prompt is
the path from the root. Demonstrations follow the best assistant reply at every turn. Deleted
messages are left out.
"""

import math
from collections.abc import Iterator

from upbring.data.read import dialogue
from upbring.data.read.format_readers import (
    ParsedExample,
    check_ranked_count,
    dense_ranks,
    parse_number,
)
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields
from upbring.errors import format_value

MessageNode = dict[str, object]
MessagePath = tuple[Message, ...]
_MAX_FIELD_LENGTH = 100


def read_comparisons(fields: Fields) -> list[ParsedExample]:
    """Return one comparison for every message whose replies are ranked."""
    examples = []
    for node, path, field in _walk_messages(fields):
        ranked = [r for r in _parse_replies(node, field) if r.get("rank") is not None]
        if path[-1].role != "user" or len(ranked) < 2:  # noqa: PLR2004 -- one reply cannot be ranked
            continue
        check_ranked_count(f"{field}.replies", len(ranked))
        responses = tuple(_parse_message(r, f"{field}.replies").content for r in ranked)
        ranks = dense_ranks([_parse_rank(r, field) for r in ranked])
        examples.append(ParsedExample(path, responses, ranks))
    if not examples:
        raise UnusedError("no message of the tree has two ranked replies")
    return examples


def read_demonstrations(fields: Fields) -> list[ParsedExample]:
    """Return the complete dialogues that follow the best assistant reply at every turn."""
    examples = []
    for node, path, field in _walk_messages(fields, is_best_only=True):
        has_next_turn = any(_parse_replies(reply, field) for reply in _parse_replies(node, field))
        if path[-1].role == "assistant" and not has_next_turn:
            examples.append(ParsedExample(path[:-1], (path[-1].content,)))
    if not examples:
        raise UnusedError("no message of the tree has a reply")
    return examples


def read_prompts(fields: Fields) -> list[ParsedExample]:
    """Return the tree's first message as the prompt."""
    return [ParsedExample((_parse_message(_parse_root(fields), "prompt"),))]


def _parse_root(fields: Fields) -> MessageNode:
    root = fields.get("prompt")
    if not isinstance(root, dict):
        raise RowError("prompt", f"is {format_value(root)}", "give the tree's first message")
    return root


def _walk_messages(
    fields: Fields, *, is_best_only: bool = False
) -> Iterator[tuple[MessageNode, MessagePath, str]]:
    """Yield (message, path from the root, field name); no recursion, because trees may be deep."""
    root = _parse_root(fields)
    pending: list[tuple[MessageNode, MessagePath, str]] = [
        (root, (_parse_message(root, "prompt"),), "prompt")
    ]
    while pending:
        node, path, field = pending.pop()
        yield node, path, field
        replies = _parse_replies(node, field)
        if is_best_only and path[-1].role == "user":
            replies = sorted(replies, key=lambda reply: _parse_rank(reply, field))[:1]
        for k, reply in reversed(list(enumerate(replies))):
            # Deep replies keep the field name of an ancestor, so that names stay short.
            reply_field = f"{field}.replies[{k}]" if len(field) < _MAX_FIELD_LENGTH else field
            reply_path = dialogue.check_turn_order(
                (*path, _parse_message(reply, reply_field)), reply_field
            )
            pending.append((reply, reply_path, reply_field))


def _parse_replies(node: MessageNode, field: str) -> list[MessageNode]:
    replies = node.get("replies")
    if replies is None:
        return []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise RowError(f"{field}.replies", f"is {format_value(replies)}", "give a list of messages")
    return [reply for reply in replies if not reply.get("deleted")]


def _parse_rank(node: MessageNode, field: str) -> float:
    """Return the rank among siblings; unranked messages come last."""
    rank = node.get("rank")
    return math.inf if rank is None else parse_number(rank, f"{field}.replies.rank")


def _parse_message(node: MessageNode, field: str) -> Message:
    return dialogue.parse_message({"role": node.get("role"), "content": node.get("text")}, field)
