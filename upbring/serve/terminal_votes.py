"""Votes of the terminal chat, written to the vote store."""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from upbring.data.read.records import Message
from upbring.votes.records import LabelResponse, NewItem, NewVote
from upbring.votes.store import open_store

ANNOTATOR = "terminal chat"


def store_better_answer(
    folder: Path, prompt: Sequence[Message], best: str, worst: str, *, model: str
) -> None:
    """Store that one answer is better; when this returns, the vote is on the disk."""
    responses = (LabelResponse(best, model), LabelResponse(worst, model))
    with open_store(folder) as store:
        (item_id,) = store.add_items([NewItem(tuple(prompt), responses)])
        annotator = store.add_annotator(ANNOTATOR).annotator_id
        key = f"terminal-{secrets.token_hex(12)}"
        vote = NewVote("ranked", (1, 2))
        store.import_vote(key, annotator, item_id, vote, at=time.time())
