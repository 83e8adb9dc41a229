"""Errors of the machine, whichever library raises them: memory, disk, open files.

Libraries wrap the system's error numbers in messages of their own. Such an error is no fault of the
user's files and no bug, so it must not be reported as one.
"""

import errno
from collections.abc import Iterator

from upbring.errors import InputError, ResourceError

DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
OPEN_FILES_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE})
MEMORY_PHRASES = (
    *("can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc"),
    *("out of memory", "could not create a primitive", "could not create a memory object"),
    *("failed to map segment", "can't start new thread", "unable to mmap", "os error 12"),
    "threadpoolbuilderror",  # Rust's, of the tokenizers library
)
OPEN_FILES_PHRASES = ("too many open files", "os error 24")
DISK_PHRASES = ("no space left on device", "disk quota exceeded", "os error 28")
OPEN_FILES_FIX = "raise the limit with `ulimit -n 4096`, then run the same command again"
DISK_FIX = (
    "free some space or fix the disk, then run the same command again. Nothing saved earlier is "
    "lost"
)
MEMORY_FIX = (
    "end other programs, raise the limit (`ulimit -v`), or use a smaller model or --dtype bfloat16"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory is exhausted."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    return _mentions(error, MEMORY_PHRASES)


def is_resource_error(error: BaseException) -> bool:
    """Whether an error is the machine's: no memory, no disk space, no more open files."""
    return _find_resource_error(error) is not None


def raise_resource_error(error: BaseException) -> None:
    """Raise a ResourceError if an error, or one that caused it, is the machine's."""
    if isinstance(error, ResourceError):
        raise error
    if (found := _find_resource_error(error)) is not None:
        problem, fix = found
        raise ResourceError(f"{problem} ({_first_line(error)}); {fix}") from error


def _find_resource_error(error: BaseException) -> tuple[str, str] | None:
    """Return what is exhausted and what to do, or None."""
    for each in _causes(error):
        if isinstance(each, InputError):  # its message has named the fault
            return None
        number = each.errno if isinstance(each, OSError) else None
        if is_out_of_memory(each):
            return "out of memory", MEMORY_FIX
        if number in OPEN_FILES_ERRNOS or _mentions(each, OPEN_FILES_PHRASES):
            return "too many open files", OPEN_FILES_FIX
        if number in DISK_ERRNOS or _mentions(each, DISK_PHRASES):
            return "no space left on the disk", DISK_FIX
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _mentions(error: BaseException, phrases: tuple[str, ...]) -> bool:
    if isinstance(error, (ValueError, KeyError, TypeError)):  # may quote the user's own text
        return False
    text = str(error).lower()
    return any(phrase in text for phrase in phrases)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:100] if lines else type(error).__name__
