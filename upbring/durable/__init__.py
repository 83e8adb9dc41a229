"""Atomic, checksummed files that survive a crash, a full disk and a flipped bit."""

from upbring.durable.manifest import JSON, Damaged, json_bytes, sha256_file, verify
from upbring.durable.saving import (
    atomic_folder,
    remove,
    remove_leftovers,
    require_space,
    write_bytes,
    write_json,
    write_pieces,
    write_text,
)
from upbring.durable.system import (
    DISK,
    BytesLike,
    Disk,
    explain_os_errors,
    format_size,
    is_locked,
    lock,
    peak_process_memory_bytes,
    process_memory_bytes,
    wait_for_lock,
)

__all__ = [
    "DISK",
    "JSON",
    "BytesLike",
    "Damaged",
    "Disk",
    "atomic_folder",
    "explain_os_errors",
    "format_size",
    "is_locked",
    "json_bytes",
    "lock",
    "peak_process_memory_bytes",
    "process_memory_bytes",
    "remove",
    "remove_leftovers",
    "require_space",
    "sha256_file",
    "verify",
    "wait_for_lock",
    "write_bytes",
    "write_json",
    "write_pieces",
    "write_text",
]
