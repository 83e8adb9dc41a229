"""Which item an annotator gets next: overlap, leases, hidden repeats, gold items, order.

Each function runs in the caller's transaction. An item is open while its votes are fewer than the
overlap. An annotator holds one lease at most, so a second tab shows the same item.
"""

import hashlib
import sqlite3
from dataclasses import dataclass

from upbring.votes.records import Lease


@dataclass(frozen=True, slots=True)
class AssignmentRules:
    """How items are given out.

    `overlap` is the number of votes per item. Every `repeat_every`th item of an annotator is one
    that the same annotator ranked before, every `gold_every`th a gold item; 0 means never.
    """

    overlap: int = 1
    repeat_every: int = 0
    gold_every: int = 0
    lease_seconds: float = 300.0
    seed: int = 0


def find_lease(connection: sqlite3.Connection, annotator_id: int, *, seed: int) -> Lease | None:
    """Return the annotator's lease, which may have expired."""
    found = connection.execute(
        "SELECT leases.*, key, (SELECT count(*) FROM responses WHERE item_id = items.item_id)"
        " AS num_responses FROM leases JOIN items USING (item_id) WHERE annotator_id = ?",
        (annotator_id,),
    ).fetchone()
    if found is None:
        return None
    is_repeat = bool(found["is_repeat"])
    order = shown_order(
        found["key"], found["num_responses"], seed=seed, annotator_id=annotator_id, repeat=is_repeat
    )
    return Lease(
        found["item_id"],
        annotator_id,
        is_repeat,
        bool(found["is_adjudication"]),
        order,
        found["expires_at"],
    )


def is_lease_usable(
    connection: sqlite3.Connection, lease: Lease, *, now: float, overlap: int
) -> bool:
    """Whether a vote under this lease is accepted: in time, or late with the place still free."""
    if lease.expires_at > now or lease.is_repeat or lease.is_adjudication:
        return True
    item = connection.execute(
        "SELECT num_votes, gold_places FROM items WHERE item_id = ?", (lease.item_id,)
    ).fetchone()
    if item["gold_places"] is not None:
        return True
    (num_others,) = connection.execute(
        f"SELECT {_OTHER_LEASES} FROM items WHERE item_id = :item",  # noqa: S608 -- constant text
        {"item": lease.item_id, "annotator": lease.annotator_id, "now": now},
    ).fetchone()
    return bool(item["num_votes"] + num_others < overlap)


def choose_item(
    connection: sqlite3.Connection, annotator_id: int, rules: AssignmentRules, *, now: float
) -> tuple[int, bool] | None:
    """Return the next item and whether it is a repeat; None if nothing is left."""
    repeat = _due_repeat(connection, annotator_id, rules.repeat_every)
    if repeat is not None:
        return repeat, True
    gold = _due_gold(connection, annotator_id, rules.gold_every)
    if gold is not None:
        return gold, False
    found = connection.execute(
        f"SELECT item_id FROM items WHERE is_open = 1 AND gold_places IS NULL"  # noqa: S608 -- constant text
        f" AND {UNSEEN} AND num_votes + {_OTHER_LEASES} < :overlap"
        f" ORDER BY priority DESC, num_votes DESC, item_id LIMIT 1",
        {"annotator": annotator_id, "now": now, "overlap": rules.overlap},
    ).fetchone()
    return None if found is None else (found["item_id"], False)


def save_lease(
    connection: sqlite3.Connection,
    annotator_id: int,
    item_id: int,
    *,
    is_repeat: bool,
    is_adjudication: bool,
    expires_at: float,
) -> None:
    """Give an annotator an item, instead of the one that the annotator held."""
    connection.execute(
        "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
        (annotator_id, item_id, is_repeat, is_adjudication, expires_at),
    )


def shown_order(
    item_key: str, count: int, *, seed: int, annotator_id: int, repeat: bool
) -> tuple[int, ...]:
    """Return the numbers of an item's responses from top to bottom, seeded per annotator.

    >>> shown_order("k", 4, seed=0, annotator_id=1, repeat=False)
    (2, 0, 3, 1)
    """

    def draw(number: int) -> bytes:
        text = f"{seed}\x1f{item_key}\x1f{annotator_id}\x1f{repeat}\x1f{number}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    return tuple(sorted(range(count), key=draw))


UNSEEN = (
    "NOT EXISTS (SELECT 1 FROM current_votes AS seen WHERE seen.item_id = items.item_id"
    " AND seen.annotator_id = :annotator AND NOT seen.is_adjudication)"
)
_OTHER_LEASES = (
    "(SELECT count(*) FROM leases WHERE leases.item_id = items.item_id"
    " AND leases.annotator_id != :annotator AND leases.expires_at > :now"
    " AND NOT leases.is_repeat AND NOT leases.is_adjudication)"
)
_OWN_VOTES = (
    "FROM current_votes AS own JOIN items USING (item_id) WHERE own.annotator_id = ?"
    " AND NOT own.is_adjudication"
)


def _due_repeat(connection: sqlite3.Connection, annotator_id: int, every: int) -> int | None:
    if not every:
        return None
    num_votes, num_repeats = connection.execute(
        f"SELECT count(*), coalesce(sum(is_repeat), 0) {_OWN_VOTES}", (annotator_id,)
    ).fetchone()
    if num_votes + 1 < every * (num_repeats + 1):
        return None
    found = connection.execute(
        f"SELECT item_id {_OWN_VOTES} AND outcome = 'ranked' AND gold_places IS NULL"
        " GROUP BY item_id HAVING count(*) = 1 ORDER BY min(event_id) LIMIT 1",
        (annotator_id,),
    ).fetchone()
    return None if found is None else int(found["item_id"])


def _due_gold(connection: sqlite3.Connection, annotator_id: int, every: int) -> int | None:
    if not every:
        return None
    num_votes, num_gold = connection.execute(
        f"SELECT count(*), count(gold_places) {_OWN_VOTES}", (annotator_id,)
    ).fetchone()
    if num_votes + 1 < every * (num_gold + 1):
        return None
    found = connection.execute(
        f"SELECT item_id FROM items WHERE gold_places IS NOT NULL AND {UNSEEN}"  # noqa: S608 -- constant text
        " ORDER BY item_id LIMIT 1",
        {"annotator": annotator_id},
    ).fetchone()
    return None if found is None else int(found["item_id"])
