"""Tables of the vote store, and opening its file: durability, migrations, error messages.

`MIGRATIONS[n]` brings version n to n + 1; a new file goes through all of them. Before an existing
file is migrated, it is copied to `votes.db.vN.bak`.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from upbring.durable import DISK, explain_os_errors, open_regular
from upbring.errors import InputError, ResourceError

APPLICATION_ID = 0x75707672  # "upvr": marks the file as a vote store
LOCK_TIMEOUT_SECONDS = 10.0
TABLES = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE items (
  item_id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  prompt TEXT NOT NULL,
  row TEXT NOT NULL,
  gold_places TEXT,
  priority REAL NOT NULL DEFAULT 0,
  num_votes INTEGER NOT NULL DEFAULT 0,
  is_open INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX items_to_do ON items (is_open, priority DESC, num_votes DESC, item_id);
CREATE TABLE responses (
  item_id INTEGER NOT NULL REFERENCES items,
  number INTEGER NOT NULL,
  text TEXT NOT NULL,
  model TEXT NOT NULL,
  PRIMARY KEY (item_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE annotators (
  annotator_id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  simulated INTEGER NOT NULL,
  adjudicates INTEGER NOT NULL,
  created_at REAL NOT NULL
) STRICT;
CREATE TABLE leases (
  annotator_id INTEGER PRIMARY KEY REFERENCES annotators,
  item_id INTEGER NOT NULL REFERENCES items,
  is_repeat INTEGER NOT NULL,
  is_adjudication INTEGER NOT NULL,
  expires_at REAL NOT NULL
) STRICT;
CREATE TABLE events (
  event_id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('vote', 'undo')),
  annotator_id INTEGER NOT NULL REFERENCES annotators,
  item_id INTEGER NOT NULL REFERENCES items,
  is_repeat INTEGER NOT NULL,
  is_adjudication INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  body TEXT NOT NULL,
  at REAL NOT NULL,
  undone_id INTEGER UNIQUE REFERENCES events
) STRICT;
CREATE INDEX events_by_item ON events (item_id);
CREATE INDEX events_by_annotator ON events (annotator_id, item_id);
CREATE INDEX leases_by_item ON leases (item_id);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
  BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
  BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE VIEW current_votes AS
  SELECT * FROM events AS vote WHERE kind = 'vote'
  AND NOT EXISTS (SELECT 1 FROM events AS undo WHERE undo.undone_id = vote.event_id);
"""
MIGRATIONS: tuple[str, ...] = (TABLES,)


def connect(path: Path, *, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """Open a store for writing: create or migrate it if needed."""
    with explain_os_errors(path):
        if path.exists() or path.is_symlink():
            os.close(open_regular(path, os.O_RDWR))
        else:
            path.touch(mode=0o600)  # it holds the secret of the invitation links
    with explain_sqlite_errors(path):
        connection = _open(path)
        try:
            version = _check_version(connection, path, newest=len(migrations))
            if version < len(migrations):
                _migrate(connection, path, version=version, migrations=migrations)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_read_only(path: Path, *, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """Open an existing store for reading; a process may write to it at the same time."""
    if not path.is_file():
        raise InputError(f"{path}: there are no votes; collect some with `upbring label`")
    with explain_sqlite_errors(path):
        connection = _open(path)
        try:
            _require_newest(connection, path, newest=len(migrations))
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def explain_sqlite_errors(path: Path) -> Iterator[None]:
    """Convert an SQLite error in the block to an UpbringError that says what to do."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "full" in text or "disk I/O" in text:
            raise ResourceError(
                f"{path}: {text}; free some space on the disk, then send the vote again. Votes "
                "that were confirmed are kept"
            ) from error
        if "locked" in text:
            raise ResourceError(
                f"{path}: another process holds the file; close it, then try again"
            ) from error
        if "readonly" in text or "unable to open" in text:
            raise InputError(
                f"{path}: {text}; get write permission for it, or choose another folder"
            ) from error
        if isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError):
            raise
        raise InputError(
            f"{path}: {text}; restore it from a backup, or move it away to start a new one"
        ) from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit the block as one durable transaction, or roll it back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.row_factory = sqlite3.Row
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection, path: Path, *, newest: int) -> int:
    """Return the version of a file; 0 is an empty one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if num_tables and application != APPLICATION_ID:
        raise InputError(f"{path}: is another program's database; choose another folder")
    if version > newest:
        raise InputError(
            f"{path}: is of version {version}, and this upbring knows up to {newest}; use a newer "
            "upbring. The file is unchanged"
        )
    return int(version)


def _require_newest(connection: sqlite3.Connection, path: Path, *, newest: int) -> None:
    version = _check_version(connection, path, newest=newest)
    if version < newest:
        raise InputError(
            f"{path}: is of version {version}, and this upbring reads {newest}; open it with "
            "`upbring label` once, which migrates it and keeps a copy"
        )


def _migrate(
    connection: sqlite3.Connection, path: Path, *, version: int, migrations: Sequence[str]
) -> None:
    """Bring a file to the newest version in one transaction, after a copy of it was made."""
    if version:
        _back_up(connection, path.with_name(f"{path.name}.v{version}.bak"))
    script = ";\n".join(migrations[version:])
    end = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(migrations)}"
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {script}; {end}; COMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    temporary = target.with_name(f".tmp-{target.name}")
    temporary.unlink(missing_ok=True)
    copy = sqlite3.connect(temporary)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    with open(temporary, "r+b", opener=open_regular, buffering=0) as file:
        DISK.sync(file)
    DISK.rename(temporary, target)
    DISK.sync_folder(target.parent)
