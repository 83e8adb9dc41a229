"""Rows of the vote store as records, and the inserts that belong to them.

Each function runs in the caller's transaction.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Literal

from upbring.data.read.records import Message
from upbring.votes.assignment import UNSEEN
from upbring.votes.records import (
    HistoryEvent,
    LabelAnnotator,
    LabelItem,
    LabelResponse,
    LabelVote,
    Lease,
    NewItem,
)
from upbring.votes.vote_body import decode_body

_VOTES = "SELECT vote.*, name, simulated, adjudicates FROM {view} AS vote JOIN annotators USING (annotator_id)"  # noqa: E501
_CURRENT, _ALL = _VOTES.format(view="current_votes"), _VOTES.format(view="events")


@dataclass(frozen=True, slots=True)
class LabelProgress:
    """Numbers for the page: an annotator's votes, and the votes of all."""

    num_own: int
    num_left: int  # open items that the annotator has not seen
    num_votes: int
    num_items: int
    num_open: int


def read_items(connection: sqlite3.Connection, *, item_id: int | None = None) -> list[LabelItem]:
    """Return all items, or one."""
    where, values = ("", ()) if item_id is None else (" WHERE item_id = ?", (item_id,))
    responses: dict[int, list[LabelResponse]] = {}
    texts = f"SELECT * FROM responses{where} ORDER BY item_id, number"  # noqa: S608 -- constant text
    for row in connection.execute(texts, values):
        responses.setdefault(row["item_id"], []).append(LabelResponse(row["text"], row["model"]))
    found = f"SELECT * FROM items{where} ORDER BY item_id"  # noqa: S608 -- constant text
    return [
        LabelItem(
            row["item_id"],
            row["key"],
            tuple(Message(role, content) for role, content in json.loads(row["prompt"])),
            tuple(responses[row["item_id"]]),
            row["row"],
            None if row["gold_places"] is None else tuple(json.loads(row["gold_places"])),
            row["priority"],
        )
        for row in connection.execute(found, values)
    ]


def insert_item(connection: sqlite3.Connection, item: NewItem) -> int:
    """Insert an item and its responses."""
    prompt = json.dumps([[m.role, m.content] for m in item.prompt], ensure_ascii=False)
    gold = None if item.gold_places is None else json.dumps(item.gold_places)
    item_id = connection.execute(
        "INSERT INTO items (key, prompt, row, gold_places, priority) VALUES (?, ?, ?, ?, ?)",
        (item.key, prompt, item.row, gold, item.priority),
    ).lastrowid
    assert item_id is not None, "an insert has a row"
    connection.executemany(
        "INSERT INTO responses VALUES (?, ?, ?, ?)",
        [(item_id, n, each.text, each.model) for n, each in enumerate(item.responses)],
    )
    return item_id


def count_responses(connection: sqlite3.Connection, item_id: int) -> int:
    """Return the number of an item's responses."""
    (count,) = connection.execute(
        "SELECT count(*) FROM responses WHERE item_id = ?", (item_id,)
    ).fetchone()
    return int(count)


def read_annotators(connection: sqlite3.Connection) -> list[LabelAnnotator]:
    """Return all annotators."""
    rows = connection.execute("SELECT * FROM annotators ORDER BY annotator_id")
    return [_to_annotator(row) for row in rows]


def read_votes(
    connection: sqlite3.Connection, *, item_id: int | None, annotator_id: int | None
) -> list[LabelVote]:
    """Return the votes that count, of one item or annotator if given."""
    rows = connection.execute(
        f"{_CURRENT} WHERE (? IS NULL OR vote.item_id = ?)"
        " AND (? IS NULL OR vote.annotator_id = ?) ORDER BY event_id",
        (item_id, item_id, annotator_id, annotator_id),
    )
    return [_to_vote(row) for row in rows]


def find_vote(connection: sqlite3.Connection, key: str) -> LabelVote | None:
    """Return the vote with a key, also an undone one."""
    row = connection.execute(f"{_ALL} WHERE key = ? AND kind = 'vote'", (key,)).fetchone()
    return None if row is None else _to_vote(row)


def require_vote(connection: sqlite3.Connection, key: str) -> LabelVote:
    """Return the vote with a key, which exists."""
    vote = find_vote(connection, key)
    assert vote is not None, "it was inserted"
    return vote


def latest_vote(connection: sqlite3.Connection, annotator_id: int) -> LabelVote | None:
    """Return the annotator's newest vote that counts."""
    row = connection.execute(
        f"{_CURRENT} WHERE vote.annotator_id = ? ORDER BY event_id DESC LIMIT 1", (annotator_id,)
    ).fetchone()
    return None if row is None else _to_vote(row)


def find_undone(connection: sqlite3.Connection, key: str, annotator_id: int) -> LabelVote | None:
    """Return the vote that the undo event with this key took back."""
    row = connection.execute(
        f"{_ALL} WHERE event_id = (SELECT undone_id FROM events WHERE key = ?"  # noqa: S608 -- constant text
        " AND annotator_id = ?)",
        (key, annotator_id),
    ).fetchone()
    return None if row is None else _to_vote(row)


def read_history(connection: sqlite3.Connection) -> list[HistoryEvent]:
    """Return every event."""
    rows = connection.execute("SELECT * FROM events ORDER BY event_id")
    return [
        HistoryEvent(
            row["event_id"],
            row["key"],
            row["kind"],
            row["annotator_id"],
            row["item_id"],
            row["at"],
            row["undone_id"],
        )
        for row in rows
    ]


def insert_event(
    connection: sqlite3.Connection,
    *,
    key: str,
    kind: Literal["vote", "undo"],
    lease: Lease,
    outcome: str,
    body: str,
    at: float,
    undone_id: int | None = None,
) -> None:
    """Append an event to the history."""
    connection.execute(
        "INSERT INTO events (key, kind, annotator_id, item_id, is_repeat, is_adjudication,"
        " outcome, body, at, undone_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(key, kind, lease.annotator_id, lease.item_id, lease.is_repeat),
            *(lease.is_adjudication, outcome, body, at, undone_id),
        ),
    )


def recount(connection: sqlite3.Connection, *, overlap: int, item_id: int | None = None) -> None:
    """Update the number of votes of all items, or of one, and whether they are open."""
    connection.execute(
        "UPDATE items SET num_votes = (SELECT count(*) FROM current_votes AS vote"
        " WHERE vote.item_id = items.item_id AND outcome != 'skipped' AND NOT is_repeat"
        " AND NOT is_adjudication) WHERE ? IS NULL OR item_id = ?",
        (item_id, item_id),
    )
    connection.execute(
        "UPDATE items SET is_open = gold_places IS NULL AND num_votes < ?"
        " WHERE ? IS NULL OR item_id = ?",
        (overlap, item_id, item_id),
    )


def newest_time(connection: sqlite3.Connection) -> float:
    """Return the time of the newest event."""
    (newest,) = connection.execute("SELECT coalesce(max(at), 0) FROM events").fetchone()
    return float(newest)


def read_progress(connection: sqlite3.Connection, annotator_id: int) -> LabelProgress:
    """Return the numbers for the page."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM current_votes WHERE annotator_id = :annotator"  # noqa: S608 -- constant text
        " AND outcome != 'skipped'),"
        f" (SELECT count(*) FROM items WHERE is_open = 1 AND {UNSEEN}),"
        " coalesce(sum(num_votes), 0), count(*), coalesce(sum(is_open), 0)"
        " FROM items WHERE gold_places IS NULL",
        {"annotator": annotator_id},
    ).fetchone()
    return LabelProgress(*row)


def _to_annotator(row: sqlite3.Row) -> LabelAnnotator:
    return LabelAnnotator(
        row["annotator_id"], row["name"], bool(row["simulated"]), bool(row["adjudicates"])
    )


def _to_vote(row: sqlite3.Row) -> LabelVote:
    vote, order = decode_body(row["body"])
    return LabelVote(
        row["event_id"],
        row["key"],
        row["item_id"],
        _to_annotator(row),
        row["at"],
        bool(row["is_repeat"]),
        bool(row["is_adjudication"]),
        order,
        vote,
    )
