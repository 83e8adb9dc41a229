"""Code that depends on the operating system: disk operations, processes, memory.

Every operation of a save goes through a `Disk`, which a test replaces by one that fails. An OSError
becomes an error message with the path, the needed bytes and the free bytes.
"""

import contextlib
import ctypes
import errno
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from io import FileIO
from pathlib import Path
from typing import TypeAlias

import psutil

from upbring.durable.faults import DISK_FIX, MEMORY_FIX, OPEN_FILES_ERRNOS, OPEN_FILES_FIX
from upbring.errors import InputError, ResourceError, UpbringError

if sys.platform != "win32":
    import fcntl
    import resource

BytesLike: TypeAlias = bytes | memoryview

TEMPORARY_NAME = re.compile(r"\.(?:tmp|del)-")  # names that only `saving` creates
WRITE_BYTES = 4 * 2**20
UNSUPPORTED_ERRNOS = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}
)
FORBIDDEN_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
MISSING_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR})


class Disk:
    """The disk operations of a save; each one calls `before` first."""

    def before(self, operation: str, path: Path) -> None:
        """Do nothing; a test overrides this to raise an OSError or to kill the process."""

    def free_bytes(self, path: Path) -> int:
        """Return the free bytes on the file system of `path`, which may not exist yet."""
        existing = next(
            ancestor for ancestor in (path, *path.absolute().parents) if ancestor.exists()
        )
        return shutil.disk_usage(existing).free

    def make_folder(self, folder: Path) -> None:
        """Create a folder with the mode given by the umask."""
        self.before("make", folder)
        folder.mkdir()

    def write(self, file: FileIO, data: BytesLike) -> None:
        """Append `data` to an open, unbuffered file."""
        remaining = memoryview(data)
        while remaining.nbytes:
            self.before("write", Path(file.name))
            remaining = remaining[file.write(remaining[:WRITE_BYTES]) :]

    def sync(self, file: FileIO) -> None:
        """Flush a file to the disk."""
        with _sync_is_optional(Path(file.name)):
            self.before("sync", Path(file.name))
            if sys.platform == "darwin":  # fsync leaves data in the drive cache
                fcntl.fcntl(file.fileno(), fcntl.F_FULLFSYNC)
            else:
                os.fsync(file.fileno())

    def sync_folder(self, folder: Path) -> None:
        """Flush a folder's entries to the disk; a no-op on Windows, which lacks the operation."""
        if sys.platform == "win32":
            return
        with _sync_is_optional(folder):
            self.before("sync_folder", folder)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file or folder atomically."""
        self.before("rename", old)
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Delete a file, or a folder with its content."""
        self.before("remove", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


DISK = Disk()


@contextlib.contextmanager
def explain_os_errors(path: Path, *, need: int | None = None, disk: Disk = DISK) -> Iterator[None]:
    """Convert an OSError in the block to an UpbringError with path, needed and free bytes."""
    try:
        yield
    except OSError as error:
        raise _to_upbring_error(error, path, need=need, disk=disk) from error


def format_size(num_bytes: float) -> str:
    """Return a number of bytes with a decimal unit.

    >>> format_size(1_234_567), format_size(999)
    ('1.2 MB', '999 bytes')
    """
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes:.0f} bytes"


def process_memory_bytes() -> int:
    """Return the resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def trim_heap() -> bool:
    """Return free pages of the heap to the system; return whether that is supported."""
    if platform.libc_ver()[0] != "glibc":
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def peak_process_memory_bytes() -> int:
    """Return the peak resident memory of this process."""
    # On Linux, getrusage also counts what the parent held when it started this process.
    match = re.search(r"^VmHWM:\s+(\d+) kB", _read_proc_status(), re.MULTILINE)
    if match is not None:
        return int(match[1]) * 1024
    if sys.platform != "win32":
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(psutil.Process().memory_info().peak_wset)


def reset_peak_process_memory() -> None:
    """Let the peak start again from what the process holds now, where the system can: on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def is_process_alive(pid: int) -> bool:
    """Return whether a process with this id runs on this machine."""
    try:
        return psutil.pid_exists(pid)
    except OverflowError:  # another machine's id; nothing is known about it
        return True


def _to_upbring_error(error: OSError, path: Path, *, need: int | None, disk: Disk) -> UpbringError:
    problem = error.strerror or str(error)
    if error.errno in MISSING_ERRNOS and not path.parent.exists():
        fix = "if it was deleted or moved while in use, restore it; otherwise start a new run"
        return InputError(f"{path.parent}: the folder is gone; {fix}")
    file = str(error.filename or path)
    if file != str(path) and not TEMPORARY_NAME.search(file):
        problem = f"{problem}: {file}"
    if error.errno in FORBIDDEN_ERRNOS:
        fix = "get write permission for it, or choose another folder"
        return InputError(f"{path}: {problem}; {fix}")
    if error.errno == errno.EEXIST:
        return InputError(f"{path}: {file} already exists; move it, or choose another name")
    if error.errno in MISSING_ERRNOS:
        return InputError(f"{path}: {problem}; restore it, then try again")
    if error.errno in {*OPEN_FILES_ERRNOS, errno.ENOMEM}:
        fix = MEMORY_FIX if error.errno == errno.ENOMEM else OPEN_FILES_FIX
        return ResourceError(f"{path}: {problem}; {fix}")
    return _disk_error(problem, path, need=need, disk=disk)


def _disk_error(problem: str, path: Path, *, need: int | None, disk: Disk) -> ResourceError:
    with contextlib.suppress(OSError):
        needed_text = "" if need is None else f"{format_size(need)} needed, "
        problem = f"{problem} ({needed_text}{format_size(disk.free_bytes(path))} free)"
    return ResourceError(f"{path}: {problem}; {DISK_FIX}")


@contextlib.contextmanager
def _sync_is_optional(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED_ERRNOS:
            raise
        _warn_unsynced(str(path.parent))


@cache
def _warned() -> list[str]:
    return []


def _warn_unsynced(folder: str) -> None:
    if not _warned():
        _warned().append(folder)
        text = f"{folder}: this file system cannot fsync; a power failure may lose the latest save"
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def _read_proc_status() -> str:
    """Return what Linux reports about this process; empty on other systems."""
    try:
        return Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
