"""Files that survive a crash, a full disk and a flipped bit."""

from upbring.durable.manifest import JSON, Damaged, json_bytes, sha256_file, verify
from upbring.durable.saving import (
    folder,
    remove,
    require_space,
    sweep,
    write_bytes,
    write_json,
    write_pieces,
    write_text,
)
from upbring.durable.system import (
    DISK,
    Disk,
    Piece,
    explained,
    is_locked,
    lock,
    memory_bytes,
    peak_memory_bytes,
    size,
    turn,
)

__all__ = [
    "DISK",
    "JSON",
    "Damaged",
    "Disk",
    "Piece",
    "explained",
    "folder",
    "is_locked",
    "json_bytes",
    "lock",
    "memory_bytes",
    "peak_memory_bytes",
    "remove",
    "require_space",
    "sha256_file",
    "size",
    "sweep",
    "turn",
    "verify",
    "write_bytes",
    "write_json",
    "write_pieces",
    "write_text",
]
