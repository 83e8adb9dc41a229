"""Locks on files and folders, and files that are opened for writing in a folder of unknown origin.

The system releases a lock when its process dies. A symbolic link, a pipe or a device in the place
of a file is never opened: a run folder may come from someone else.
"""

import contextlib
import errno
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from upbring.durable.system import UNSUPPORTED_ERRNOS, explain_os_errors, is_process_alive
from upbring.errors import InputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = ".lock"
LOCKED_BYTE = 2**30  # after the text, because Windows forbids reading a locked byte
LOCK_POLL_SECONDS = 0.1
IRREGULAR = {
    errno.ELOOP: "a symbolic link",
    errno.EMLINK: "a symbolic link",
    errno.ENXIO: "a pipe",
    errno.EISDIR: "a folder",
}
# Windows has neither; a pipe without a reader would block
FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def open_regular(path: Path | str, flags: int) -> int:
    """Return the descriptor of a regular file; also an `opener` of `open` and `FileIO`."""
    try:
        descriptor = os.open(path, flags | FLAGS, 0o666)
    except OSError as error:
        if error.errno not in IRREGULAR:
            raise
        raise InputError(_irregular_file_text(path, IRREGULAR[error.errno])) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(_irregular_file_text(path, "not a regular file"))
    return descriptor


def _irregular_file_text(path: Path | str, kind: str) -> str:
    return f"{path}: is {kind}, and upbring would write to it; delete it if you trust the folder"


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; the system releases the lock when the process dies."""
    path = folder / LOCK_FILE
    with explain_os_errors(path):
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        if not _try_lock(descriptor, path):
            raise InputError(
                f"{folder}: {_describe_holder(path)} is using this folder; wait until it is done, "
                "or stop it"
            )
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        with explain_os_errors(path, need=len(text)):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, text.encode())
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)  # also releases the lock


@contextlib.contextmanager
def wait_for_lock(path: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait for a file's lock and hold it in the block; `waiting` is called on every retry.

    The file stays, empty. On a file system without locks, this does not wait.
    """
    with explain_os_errors(path):
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        while not _try_lock(descriptor, path):
            waiting()
            time.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Return whether a running process holds the folder's lock."""
    try:
        descriptor = open_regular(folder / LOCK_FILE, os.O_RDWR)
    except (OSError, InputError):
        return False
    try:
        return not _try_lock(descriptor, folder / LOCK_FILE, attempts=1)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path, *, attempts: int = 5) -> bool:
    for attempt in range(attempts):  # retry: `is_locked` holds the lock for a moment
        try:
            _lock_descriptor(descriptor)
        except OSError as error:
            if error.errno in UNSUPPORTED_ERRNOS:
                return not _is_holder_alive(path)
            if attempt + 1 < attempts:
                time.sleep(0.02)
        else:
            return True
    return False


def _lock_descriptor(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_holder(path: Path) -> tuple[int, str] | None:
    try:
        value = json.loads(path.read_bytes())
        return int(value["pid"]), str(value["host"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _describe_holder(path: Path) -> str:
    holder = _read_holder(path)
    return f"process {holder[0]} on {holder[1]}" if holder else "another process"


def _is_holder_alive(path: Path) -> bool:
    holder = _read_holder(path)
    if holder is None:
        return False
    pid, host = holder
    return host != socket.gethostname() or is_process_alive(pid)
