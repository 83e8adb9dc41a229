"""Atomic and durable writes of files and folders.

    write → fsync → manifest → fsync → rename → fsync of the parent

Data is written under a temporary name next to its target and renamed when it is complete, so that a
reader sees either the old version or the new one. `remove_leftovers` deletes the temporary files of
dead processes.
"""

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path

from upbring.durable.faults import DISK_FIX
from upbring.durable.manifest import (
    JSON,
    MANIFEST,
    add_to_manifest,
    json_bytes,
    make_manifest,
)
from upbring.durable.system import (
    DISK,
    BytesLike,
    Disk,
    explain_os_errors,
    format_size,
    is_process_alive,
)
from upbring.errors import ResourceError

LEFTOVER_NAME = re.compile(r"\.(?:tmp|del)-.+-(\d+)-[0-9a-f]{8}")


def write_bytes(path: Path, data: BytesLike, *, disk: Disk = DISK) -> None:
    """Replace a file atomically: it contains either its old content or `data`, never a mix."""
    temporary = _temporary_path("tmp", path)
    with explain_os_errors(path, need=memoryview(data).nbytes, disk=disk):
        try:
            with FileIO(temporary, "xb") as file:
                disk.write(file, data)
                disk.sync(file)
            disk.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        disk.sync_folder(path.parent)


def write_text(path: Path, text: str, *, disk: Disk = DISK) -> None:
    """Save `text` as UTF-8 without converting line ends; see `write_bytes`."""
    write_bytes(path, text.encode(), disk=disk)


def write_json(path: Path, value: JSON, *, disk: Disk = DISK) -> None:
    """Save a value as JSON; NaN and infinity raise a ValueError. See `write_bytes`."""
    write_bytes(path, json_bytes(value), disk=disk)


@contextlib.contextmanager
def atomic_folder(target: Path, *, need: int | None = None, disk: Disk = DISK) -> Iterator[Path]:
    """Yield a temporary folder to fill; it becomes `target`, with a manifest, when the block ends.

    If the block fails, the temporary folder is deleted and an earlier `target` is intact. `need` is
    the number of bytes to save; it appears in the error message.
    """
    temporary = _temporary_path("tmp", target)
    with explain_os_errors(target, need=need, disk=disk):
        try:
            disk.make_folder(temporary)
            yield temporary
            _write_manifest(temporary, disk)
            _replace_folder(temporary, target, disk=disk)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        disk.sync_folder(target.parent)
    _discard_replaced(target, disk)


@contextlib.contextmanager
def new_folder(parent: Path, name: str, *, disk: Disk = DISK) -> Iterator[Path]:
    """Yield a temporary folder in `parent` to fill and rename; it is deleted unless it was renamed.

    A folder whose name appears only when it is complete cannot be left half made by a kill.
    """
    temporary = _temporary_path("tmp", parent / name)
    with explain_os_errors(parent, disk=disk):
        disk.make_folder(temporary)
    try:
        yield temporary
        with explain_os_errors(parent, disk=disk):
            disk.sync_folder(parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def seal(folder: Path, names: Iterable[str], *, disk: Disk = DISK) -> None:
    """Write a manifest of the named files into an existing folder."""
    with explain_os_errors(folder, disk=disk):
        manifest = make_manifest(folder, [folder / name for name in names])
    write_bytes(folder / MANIFEST, manifest, disk=disk)


def unseal(folder: Path, *, disk: Disk = DISK) -> None:
    """Delete a folder's manifest, if it has one, before its files are written again.

    A kill between a new file and its manifest would leave a folder that looks damaged.
    """
    if (folder / MANIFEST).exists():
        remove(folder / MANIFEST, disk=disk)


def seal_more(folder: Path, names: Iterable[str], *, disk: Disk = DISK) -> None:
    """Add the named files to the manifest of a folder; its other files are not read again.

    A folder without a manifest stays as it is.
    """
    with explain_os_errors(folder, disk=disk):
        manifest = add_to_manifest(folder, names)
    if manifest is not None:
        write_bytes(folder / MANIFEST, manifest, disk=disk)


def write_pieces(path: Path, pieces: Iterable[BytesLike], *, disk: Disk = DISK) -> None:
    """Write a new file in an `atomic_folder` block, piece by piece; `atomic_folder` syncs it."""
    with FileIO(path, "xb") as file:
        for piece in pieces:
            disk.write(file, piece)


def remove(folder: Path, *, disk: Disk = DISK) -> None:
    """Delete a folder or a file; it is renamed first, so that its name never holds a part of it."""
    aside = _temporary_path("del", folder)
    with explain_os_errors(folder, disk=disk):
        disk.rename(folder, aside)
        disk.remove(aside)


def remove_leftovers(
    parent: Path, *, is_locked: bool = False, min_idle_seconds: float = 0, disk: Disk = DISK
) -> list[Path]:
    """Delete temporary files and folders of dead processes in `parent`; return their paths.

    Set `is_locked` if the caller holds the lock: then every leftover is stale, even if another
    process has reused its process id. Without a lock, another machine may be writing in `parent`;
    only leftovers that have not changed for `min_idle_seconds` are deleted.
    """
    if not parent.is_dir():
        return []
    removed = []
    with explain_os_errors(parent, disk=disk):
        for path in sorted(parent.iterdir()):
            match = LEFTOVER_NAME.fullmatch(path.name)
            is_dead = match and (is_locked or not is_process_alive(int(match[1])))
            with contextlib.suppress(FileNotFoundError):  # another process may delete it too
                if is_dead and time.time() - _last_changed(path) >= min_idle_seconds:
                    disk.remove(path)
                    removed.append(path)
    return removed


def require_space(path: Path, need: int, *, disk: Disk = DISK) -> None:
    """Raise a ResourceError unless `need` bytes are free where `path` is."""
    free = disk.free_bytes(path)
    if free < need:
        raise ResourceError(
            f"{path}: saving needs {format_size(need)}, but only {format_size(free)} is "
            f"free; {DISK_FIX}"
        )


def _last_changed(path: Path) -> float:
    """Return the newest modification time of a path and everything in it."""
    return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))


def _temporary_path(kind: str, target: Path) -> Path:
    name = f".{kind}-{target.name[:100]}-{os.getpid()}-{secrets.token_hex(4)}"
    return target.with_name(name)


def _write_manifest(temporary: Path, disk: Disk) -> None:
    paths = sorted(path for path in temporary.rglob("*") if path.is_file())
    write_pieces(temporary / MANIFEST, [make_manifest(temporary, paths)], disk=disk)
    mode = (temporary / MANIFEST).stat().st_mode & 0o777
    for path in [*paths, temporary / MANIFEST]:
        if path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)  # safetensors 0.8 creates files with 0600 and ignores the umask
        with FileIO(path, "r+b") as file:
            disk.sync(file)
    for inner in sorted(path for path in temporary.rglob("*") if path.is_dir()):
        disk.sync_folder(inner)
    disk.sync_folder(temporary)


def _replace_folder(temporary: Path, target: Path, *, disk: Disk) -> None:
    if not target.exists():
        disk.rename(temporary, target)
        return
    aside = _temporary_path("del", target)
    disk.rename(target, aside)
    try:
        disk.rename(temporary, target)
    except BaseException:
        aside.replace(target)
        raise


def _discard_replaced(target: Path, disk: Disk) -> None:
    """Delete the replaced version of `target`; on failure `remove_leftovers` deletes it later."""
    prefix = f".del-{target.name[:100]}-{os.getpid()}-"
    with contextlib.suppress(OSError):
        for path in [each for each in target.parent.iterdir() if each.name.startswith(prefix)]:
            disk.remove(path)
