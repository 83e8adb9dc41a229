"""Atomic, checksummed files that survive a crash, a full disk and a flipped bit."""

from upbring.durable.checksums import sha256_file
from upbring.durable.faults import is_out_of_memory, is_resource_error, raise_resource_error
from upbring.durable.locking import is_locked, lock, open_regular, wait_for_lock
from upbring.durable.manifest import (
    JSON,
    MANIFEST,
    Damaged,
    json_bytes,
    verify,
    verify_file,
    verify_if_sealed,
)
from upbring.durable.saving import (
    atomic_folder,
    new_folder,
    remove,
    remove_leftovers,
    require_space,
    seal,
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
    peak_process_memory_bytes,
    process_memory_bytes,
)

__all__ = [
    "DISK",
    "JSON",
    "MANIFEST",
    "BytesLike",
    "Damaged",
    "Disk",
    "atomic_folder",
    "explain_os_errors",
    "format_size",
    "is_locked",
    "is_out_of_memory",
    "is_resource_error",
    "json_bytes",
    "lock",
    "new_folder",
    "open_regular",
    "peak_process_memory_bytes",
    "process_memory_bytes",
    "raise_resource_error",
    "remove",
    "remove_leftovers",
    "require_space",
    "seal",
    "sha256_file",
    "verify",
    "verify_file",
    "verify_if_sealed",
    "wait_for_lock",
    "write_bytes",
    "write_json",
    "write_pieces",
    "write_text",
]
