"""Checksums of files; a file that does not change is read once per process.

A file's identity is its device, inode, size and times. Two changes within the resolution of a file
system's clock look the same, so the checksums of a recently changed file are not kept.
"""

import hashlib
import os
import stat
import time
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PIECE_BYTES = 4 * 2**20  # an error names the damaged byte range at this resolution
SETTLED_NS = 3 * 10**9  # FAT stores times in steps of two seconds
MAX_KEPT_FILES = 4096


@dataclass(frozen=True, slots=True)
class FileChecksums:
    """A file's size, its SHA-256 and the CRC-32 of each piece."""

    num_bytes: int
    sha256: str
    crc32: tuple[int, ...]


def file_checksums(path: Path) -> FileChecksums:
    """Return the checksums of a regular file; raise an OSError if it is not one."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would block, a device might never end
        raise OSError(f"{path}: is not a regular file")
    identity = (status.st_dev, status.st_ino, status.st_size)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    if time.time_ns() - max(times) < SETTLED_NS:
        return _hash_file(path)
    return _hash_unchanged_file(os.path.realpath(path), identity, times)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return file_checksums(path).sha256


@lru_cache(MAX_KEPT_FILES)
def _hash_unchanged_file(
    path: str, identity: tuple[int, ...], times: tuple[int, ...]
) -> FileChecksums:
    del identity, times  # only part of the cache's key
    return _hash_file(Path(path))


def _hash_file(path: Path) -> FileChecksums:
    digest, pieces, num_bytes = hashlib.sha256(), list[int](), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            pieces.append(zlib.crc32(piece))
            num_bytes += len(piece)
    return FileChecksums(num_bytes, digest.hexdigest(), tuple(pieces))
