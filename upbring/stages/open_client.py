"""The client of a server that the settings name, with its paid calls on the disk.

calls.jsonl   one line per call: its key, the server and the reply
"""

from collections.abc import Callable
from pathlib import Path

from upbring import durable
from upbring.remote.client import CallLimits, Client
from upbring.settings.judge import ServerSettings

CALLS_FILE = "calls.jsonl"


def open_calls(path: Path) -> durable.KeyedRows:
    """Return the stored replies in a file, which may not exist yet."""
    foreign = "is not a stored call; delete that line, or choose another folder with --to"
    return durable.KeyedRows(durable.RowLog(path, frozenset({"key", "reply"}), foreign))


def call_limits(settings: ServerSettings) -> CallLimits:
    """Return what a client may do."""
    return CallLimits(settings.concurrency, settings.timeout, settings.max_calls)


def open_client(
    url: str,
    calls: durable.KeyedRows | None = None,
    *,
    limits: CallLimits | None = None,
    poll: Callable[[], None] = lambda: None,
    log: Callable[[str], None] = lambda _: None,
) -> Client:
    """Return the client of a server; without `calls`, replies are kept in memory only."""
    rows = durable.KeyedRows() if calls is None else calls
    return Client(url, rows, limits=limits, poll=poll, log=log)
