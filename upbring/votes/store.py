"""`VoteStore`: reads and writes the file of votes; see the package for its surface."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from upbring import durable
from upbring.errors import InputError
from upbring.votes import assignment, reading
from upbring.votes.assignment import AssignmentRules
from upbring.votes.clock import ClockSource, StoreClock
from upbring.votes.records import (
    MAX_RESPONSES,
    MIN_RESPONSES,
    HistoryEvent,
    LabelAnnotator,
    LabelItem,
    LabelVote,
    Lease,
    NewItem,
    NewVote,
)
from upbring.votes.schema import connect, connect_read_only, explain_sqlite_errors, transaction
from upbring.votes.vote_body import check_vote, encode_body

STORE_FILE = "votes.db"
MAX_NAME_CHARACTERS = 80


class LeaseError(InputError):
    """The annotator does not hold the item any more; the page shows the next one."""


@contextlib.contextmanager
def open_store(
    folder: Path,
    *,
    read_only: bool = False,
    rules: AssignmentRules | None = None,
    clock: ClockSource | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Iterator["VoteStore"]:
    """Open the store in a folder and close it after the block; writing takes the folder's lock."""
    path = folder / STORE_FILE
    with contextlib.ExitStack() as stack:
        if read_only:
            connection = connect_read_only(path)
        else:
            with durable.explain_os_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(durable.lock(folder))
            connection = connect(path)
        stack.callback(connection.close)
        yield VoteStore(connection, path, rules or AssignmentRules(), clock or ClockSource(), warn)


class VoteStore:
    """An open store; its methods may be called from several threads."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        rules: AssignmentRules,
        clock: ClockSource,
        warn: Callable[[str], None],
    ) -> None:
        self._connection, self._rules, self.path = connection, rules, path
        self._mutex = threading.RLock()
        with self._reading():
            newest = reading.newest_time(connection)
            is_writable = not connection.execute("PRAGMA query_only").fetchone()[0]
        self._clock = StoreClock(clock, newest=newest, warn=warn)
        if is_writable:
            with self._writing():
                reading.recount(connection, overlap=rules.overlap)

    # What is read.

    def items(self) -> list[LabelItem]:
        """Return all items, in the order in which they were added."""
        with self._reading():
            return reading.read_items(self._connection)

    def item(self, item_id: int) -> LabelItem:
        """Return one item."""
        with self._reading():
            return reading.read_items(self._connection, item_id=item_id)[0]

    def annotators(self) -> list[LabelAnnotator]:
        """Return all annotators."""
        with self._reading():
            return reading.read_annotators(self._connection)

    def votes(
        self, *, item_id: int | None = None, annotator_id: int | None = None
    ) -> list[LabelVote]:
        """Return the votes that count now, in the order in which they were made."""
        with self._reading():
            return reading.read_votes(self._connection, item_id=item_id, annotator_id=annotator_id)

    def history(self) -> list[HistoryEvent]:
        """Return every event, also undone votes."""
        with self._reading():
            return reading.read_history(self._connection)

    def find_vote(self, key: str) -> LabelVote | None:
        """Return the vote with an idempotency key, also an undone one."""
        with self._reading():
            return reading.find_vote(self._connection, key)

    def held(self, annotator_id: int) -> Lease | None:
        """Return the lease that an annotator holds; it may have expired."""
        with self._reading():
            return assignment.find_lease(self._connection, annotator_id, seed=self._rules.seed)

    def progress(self, annotator_id: int) -> reading.LabelProgress:
        """Return how much an annotator has done, and how much there is to do."""
        with self._reading():
            return reading.read_progress(self._connection, annotator_id)

    def setting(self, name: str) -> str | None:
        """Return a stored setting."""
        with self._reading():
            found = self._connection.execute(
                "SELECT value FROM settings WHERE name = ?", (name,)
            ).fetchone()
        return None if found is None else str(found["value"])

    # What is written.

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def add_items(self, items: Sequence[NewItem]) -> list[int]:
        """Add items and return their ids; an item with the same content keeps its id."""
        with self._writing() as connection:
            return [self._add_item(connection, item) for item in items]

    def add_annotator(
        self, name: str, *, simulated: bool = False, adjudicates: bool = False
    ) -> LabelAnnotator:
        """Add an annotator, or return the one of that name."""
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME_CHARACTERS:
            raise InputError(f"name: use 1 to {MAX_NAME_CHARACTERS} characters")
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO annotators (name, simulated, adjudicates, created_at)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE"
                " SET adjudicates = max(adjudicates, excluded.adjudicates)",
                (name, simulated, adjudicates, self._clock.now()),
            )
            found = next(a for a in reading.read_annotators(connection) if a.name == name)
        if found.simulated != simulated:
            kind = "a simulated annotator" if found.simulated else "a person"
            raise InputError(f"name: {name} is the name of {kind}; choose another name")
        return found

    def set_priorities(self, priorities: Mapping[int, float]) -> None:
        """Order the items that are still to do: higher comes first."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE items SET priority = ? WHERE item_id = ?",
                [(priority, item_id) for item_id, priority in priorities.items()],
            )

    def take_item(self, annotator_id: int) -> Lease | None:
        """Return the annotator's item: the one held now, or the next one; None if none is left."""
        with self._writing() as connection:
            now = self._clock.now()
            held = assignment.find_lease(connection, annotator_id, seed=self._rules.seed)
            if held is not None and self._is_usable(held, now):
                return self._lease(annotator_id, held.item_id, held.is_repeat, held.is_adjudication)
            connection.execute("DELETE FROM leases WHERE annotator_id = ?", (annotator_id,))
            chosen = assignment.choose_item(connection, annotator_id, self._rules, now=now)
            return None if chosen is None else self._lease(annotator_id, *chosen, False)  # noqa: FBT003 -- not an adjudication

    def take_adjudication(self, annotator_id: int, item_id: int) -> Lease:
        """Give an adjudicator an item to decide."""
        with self._writing():
            return self._lease(annotator_id, item_id, False, True)  # noqa: FBT003 -- an adjudication

    def renew(self, annotator_id: int, item_id: int) -> bool:
        """Extend a lease (the page's heartbeat); return whether the annotator still holds it."""
        with self._writing():
            held = self._held(annotator_id, item_id)
            if held is None or not self._is_usable(held, self._clock.now()):
                return False
            self._lease(annotator_id, item_id, held.is_repeat, held.is_adjudication)
            return True

    def release(self, annotator_id: int) -> None:
        """Give the annotator's item back."""
        with self._writing() as connection:
            connection.execute("DELETE FROM leases WHERE annotator_id = ?", (annotator_id,))

    def submit(self, key: str, annotator_id: int, item_id: int, vote: NewVote) -> LabelVote:
        """Store a vote on the item that the annotator holds; the same key stores it once.

        When this returns, the vote is on the disk.
        """
        with self._writing() as connection:
            stored = reading.find_vote(connection, key)
            if stored is not None:
                return _require_same(stored, annotator_id, item_id)
            held = self._held(annotator_id, item_id)
            if held is None or not self._is_usable(held, self._clock.now()):
                raise LeaseError(
                    "this item was given to someone else or is done; the next one is shown"
                )
            self._insert_vote(key, held, vote, at=self._clock.now())
            connection.execute("DELETE FROM leases WHERE annotator_id = ?", (annotator_id,))
            return reading.require_vote(connection, key)

    def import_vote(
        self, key: str, annotator_id: int, item_id: int, vote: NewVote, *, at: float
    ) -> LabelVote:
        """Store a vote that was made elsewhere, without a lease and beyond the overlap."""
        with self._writing() as connection:
            stored = reading.find_vote(connection, key)
            if stored is not None:
                return _require_same(stored, annotator_id, item_id)
            order = tuple(range(reading.count_responses(connection, item_id)))
            lease = Lease(item_id, annotator_id, False, False, order, at)  # noqa: FBT003 -- neither repeat nor adjudication
            self._insert_vote(key, lease, vote, at=at)
            return reading.require_vote(connection, key)

    def undo(self, key: str, annotator_id: int) -> tuple[Lease, LabelVote] | None:
        """Take the annotator's latest vote back and lease its item again; None if there is none.

        The same key again takes nothing else back.
        """
        with self._writing() as connection:
            undone = reading.find_undone(connection, key, annotator_id)
            if undone is None:
                undone = reading.latest_vote(connection, annotator_id)
                if undone is None:
                    return None
                self._insert_undo(key, undone)
            lease = self._lease(annotator_id, undone.item_id, undone.is_repeat, undone.adjudicated)
            return lease, undone

    # Within a transaction.

    def _add_item(self, connection: sqlite3.Connection, item: NewItem) -> int:
        count = len(item.responses)
        if not MIN_RESPONSES <= count <= MAX_RESPONSES:
            raise InputError(
                f"responses: {count}; an item has {MIN_RESPONSES} to {MAX_RESPONSES} of them"
            )
        if item.gold_places is not None:
            check_vote(NewVote("ranked", item.gold_places), num_responses=count)
        found = connection.execute(
            "SELECT item_id FROM items WHERE key = ?", (item.key,)
        ).fetchone()
        return int(found["item_id"]) if found else reading.insert_item(connection, item)

    def _held(self, annotator_id: int, item_id: int) -> Lease | None:
        held = assignment.find_lease(self._connection, annotator_id, seed=self._rules.seed)
        return held if held is not None and held.item_id == item_id else None

    def _is_usable(self, lease: Lease, now: float) -> bool:
        return assignment.is_lease_usable(
            self._connection, lease, now=now, overlap=self._rules.overlap
        )

    def _lease(
        self,
        annotator_id: int,
        item_id: int,
        is_repeat: bool,  # noqa: FBT001 -- as in Lease
        is_adjudication: bool,  # noqa: FBT001 -- as in Lease
    ) -> Lease:
        assignment.save_lease(
            self._connection,
            annotator_id,
            item_id,
            is_repeat=is_repeat,
            is_adjudication=is_adjudication,
            expires_at=self._clock.now() + self._rules.lease_seconds,
        )
        lease = assignment.find_lease(self._connection, annotator_id, seed=self._rules.seed)
        assert lease is not None, "it was saved"
        return lease

    def _insert_vote(self, key: str, lease: Lease, vote: NewVote, *, at: float) -> None:
        vote = check_vote(vote, num_responses=len(lease.order))
        reading.insert_event(
            self._connection,
            key=key,
            kind="vote",
            lease=lease,
            outcome=vote.outcome,
            body=encode_body(vote, lease.order),
            at=at,
        )
        self._count(lease.item_id)

    def _insert_undo(self, key: str, undone: LabelVote) -> None:
        lease = Lease(
            undone.item_id,
            undone.annotator.annotator_id,
            undone.is_repeat,
            undone.adjudicated,
            undone.order,
            0.0,
        )
        reading.insert_event(
            self._connection,
            key=key,
            kind="undo",
            lease=lease,
            outcome="",
            body="{}",
            at=self._clock.now(),
            undone_id=undone.event_id,
        )
        self._count(undone.item_id)

    def _count(self, item_id: int) -> None:
        reading.recount(self._connection, overlap=self._rules.overlap, item_id=item_id)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._mutex, explain_sqlite_errors(self.path):
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading(), transaction(self._connection):
            yield self._connection


def _require_same(stored: LabelVote, annotator_id: int, item_id: int) -> LabelVote:
    if (stored.annotator.annotator_id, stored.item_id) != (annotator_id, item_id):
        raise InputError("key: was used for another vote; use a new one for each vote")
    return stored
