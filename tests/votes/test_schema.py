import sqlite3
from pathlib import Path

import pytest

from tests.votes.stored import ranking, store_of
from upbring.errors import InputError, ResourceError
from upbring.votes.schema import MIGRATIONS, connect, connect_read_only, explain_sqlite_errors
from upbring.votes.store import STORE_FILE, open_store

NEXT = "ALTER TABLE annotators ADD COLUMN team TEXT NOT NULL DEFAULT ''"


def filled(folder: Path) -> Path:
    with store_of(folder, 2) as store:
        ann = store.add_annotator("Ann").annotator_id
        lease = store.take_item(ann)
        assert lease is not None
        store.submit("k", ann, lease.item_id, ranking())
    return folder / STORE_FILE


def test_commits_are_durable(tmp_path: Path) -> None:
    connection = connect(tmp_path / STORE_FILE)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    connection.close()
    assert (tmp_path / STORE_FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("change", ["UPDATE events SET at = 0", "DELETE FROM events"])
def test_history_cannot_be_changed(tmp_path: Path, change: str) -> None:
    connection = connect(filled(tmp_path))
    with pytest.raises(sqlite3.IntegrityError, match="history is append-only"):
        connection.execute(change)
    connection.close()


def test_an_older_file_is_copied_and_then_migrated(tmp_path: Path) -> None:
    path = filled(tmp_path)
    newer = (*MIGRATIONS, NEXT)
    with pytest.raises(InputError, match=f"is of version {len(MIGRATIONS)}, and this upbring"):
        connect_read_only(path, migrations=newer)
    connection = connect(path, migrations=newer)
    assert connection.execute("SELECT name, team FROM annotators").fetchone()[:] == ("Ann", "")
    assert connection.execute("SELECT count(*) FROM events").fetchone()[0] == 1
    connection.close()
    backup = tmp_path / f"{STORE_FILE}.v{len(MIGRATIONS)}.bak"
    old = connect_read_only(backup)
    assert old.execute("SELECT count(*) FROM events").fetchone()[0] == 1
    old.close()


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with pytest.raises(sqlite3.OperationalError):
        connect(path, migrations=(*MIGRATIONS, NEXT, "DROP TABLE nowhere"))
    with open_store(tmp_path) as store:
        assert len(store.votes()) == 1
        with pytest.raises(sqlite3.OperationalError):
            store._connection.execute("SELECT team FROM annotators")


def test_a_newer_file_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = filled(tmp_path)
    connect(path, migrations=(*MIGRATIONS, NEXT)).close()
    before = path.read_bytes()
    for read_only in (False, True):
        with (
            pytest.raises(InputError, match="use a newer upbring"),
            open_store(tmp_path, read_only=read_only),
        ):
            pass
    assert path.read_bytes() == before


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / STORE_FILE
    with pytest.raises(InputError, match="there are no votes"):
        connect_read_only(path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="not a database; restore it"):
        connect(path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    with pytest.raises(InputError, match="another program's database"):
        connect(path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(InputError, match="symbolic link"):
        connect(path)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("database or disk is full", ResourceError, "free some space"),
        ("disk I/O error", ResourceError, "free some space"),
        ("database is locked", ResourceError, "another process holds the file"),
        ("attempt to write a readonly database", InputError, "get write permission"),
    ],
)
def test_errors_say_what_to_do(text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message), explain_sqlite_errors(Path("votes.db")):
        raise sqlite3.OperationalError(text)
