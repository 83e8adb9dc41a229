"""Saves are atomic, even if the disk fails or the process dies."""

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import CountingDisk, FailingDisk, FullDisk
from upbring import durable
from upbring.errors import InputError, ResourceError, UpbringError

DISK_ERRORS = [errno.ENOSPC, errno.EIO]
DEAD = 2**22 + 1  # above the largest process id of Linux

KILLED = """
import sys
from pathlib import Path
from tests.faults import CountingDisk, DeadlyDisk
from upbring import durable
target, last = Path(sys.argv[1]), int(sys.argv[2])
with durable.atomic_folder(target, disk=DeadlyDisk(last)) as inside:
    (inside / "a").write_text("new")
    (inside / "b").write_text("new")
"""


def fill(target: Path, text: str, *, disk: durable.Disk = durable.DISK) -> None:
    with durable.atomic_folder(target, disk=disk) as inside:
        (inside / "deep").mkdir()
        durable.write_pieces(inside / "a", [text.encode(), b""], disk=disk)
        (inside / "deep" / "b").write_text(text)


def contents(target: Path) -> set[str]:
    durable.verify(target)
    return {(target / "a").read_text(), (target / "deep" / "b").read_text()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def num_operations(tmp_path: Path, *, existing: bool) -> int:
    disk = CountingDisk()
    if existing:
        fill(tmp_path / "count", "old")
    fill(tmp_path / "count", "new", disk=disk)
    durable.remove(tmp_path / "count")
    return len(disk.operations)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "ü [1].json"
    durable.write_text(path, "old")
    durable.write_json(path, {"new": [1, 0.1, None, "é"]})
    assert path.read_text(encoding="utf-8").startswith('{\n  "new"')
    assert names(tmp_path) == {"ü [1].json"}


def test_json_refuses_numbers_that_json_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        durable.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert names(tmp_path) == set()


@pytest.mark.parametrize("code", DISK_ERRORS)
def test_a_failing_disk_leaves_the_old_file_and_reports_the_needed_bytes(
    tmp_path: Path, code: int
) -> None:
    path = tmp_path / "settings.yaml"
    durable.write_text(path, "old")
    # write, sync, rename; the folder is synced after the new file is in place
    for first in range(3):
        with pytest.raises(ResourceError) as caught:
            durable.write_text(path, "a new text", disk=FailingDisk(first, code=code))
        assert path.read_text() == "old"
        message = str(caught.value)
        assert message.startswith(f"{path}: {os.strerror(code)} (10 bytes needed, ")
        assert "free); free some space or fix the disk" in message
        assert names(tmp_path) == {"settings.yaml"}


@pytest.mark.parametrize("code", DISK_ERRORS)
@pytest.mark.parametrize("num_failures", [1, 1000])
def test_a_failing_disk_at_any_operation_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path, code: int, num_failures: int
) -> None:
    target = tmp_path / "step-1"
    for first in range(num_operations(tmp_path, existing=True)):
        fill(target, "old")
        disk = FailingDisk(first, code=code, num_failures=num_failures)
        try:
            fill(target, "new", disk=disk)
        except ResourceError as error:
            assert str(target) in str(error)  # noqa: PT017 -- the last operation may fail silently
        assert contents(target) in ({"old"}, {"new"})
        durable.remove_leftovers(tmp_path, is_locked=True)
        assert names(tmp_path) == {"step-1"}


def test_a_process_killed_at_any_operation_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path,
) -> None:
    target = tmp_path / "step-1"
    for last in range(12):
        command = [sys.executable, "-c", KILLED, str(target), str(last)]
        rc = subprocess.run(command, check=False).returncode
        if target.exists():
            durable.verify(target)
            break
        assert rc == 9
        durable.remove_leftovers(tmp_path)
        assert names(tmp_path) == set()
    # the folder appears after make, write of the manifest, 3 × sync, sync of the folder, rename
    assert last == 7


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    def save_half() -> None:
        with durable.atomic_folder(tmp_path / "model") as inside:
            (inside / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        save_half()
    assert names(tmp_path) == set()


def test_an_error_of_the_system_in_the_block_names_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    with (
        pytest.raises(InputError, match=f"model: No such file or directory: {missing}; restore it"),
        durable.atomic_folder(tmp_path / "model"),
    ):
        missing.read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask to speak of")
def test_modes_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with durable.atomic_folder(tmp_path / "model") as inside:
            (inside / "private").write_text("as safetensors leaves it")
            (inside / "private").chmod(0o600)
        durable.write_text(tmp_path / "file", "text")
        files = [*(tmp_path / "model").iterdir(), tmp_path / "file"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o644}
        assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o755
    finally:
        os.umask(before)


def test_a_file_system_that_cannot_sync_gives_one_warning(tmp_path: Path) -> None:
    class Odd(CountingDisk):
        def before(self, operation: str, path: Path) -> None:
            super().before(operation, path)
            if operation.startswith("sync"):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))

    durable.system._warned.cache_clear()
    disk = Odd()
    with pytest.warns(RuntimeWarning, match="this file system cannot fsync") as caught:
        fill(tmp_path / "a", "x", disk=disk)
    fill(tmp_path / "b", "x", disk=disk)  # a warning would be an error here
    durable.system._warned.cache_clear()
    assert len(caught) == 1
    assert contents(tmp_path / "b") == {"x"}


def test_removing_hides_the_folder_before_it_deletes(tmp_path: Path) -> None:
    fill(tmp_path / "step-1", "x")
    # operation 0 renames, operation 1 deletes
    with pytest.raises(ResourceError):
        durable.remove(tmp_path / "step-1", disk=FailingDisk(1, code=errno.EIO))
    assert not (tmp_path / "step-1").exists()
    assert len(durable.remove_leftovers(tmp_path, is_locked=True)) == 1
    assert names(tmp_path) == set()


def test_only_leftovers_of_dead_processes_are_deleted(tmp_path: Path) -> None:
    dead, alive = f".tmp-step-3-{DEAD}-0123abcd", f".tmp-step-3-{os.getpid()}-0123abcd"
    other = {"step-2", ".tmp", ".tmp-notes", "tmp-step-3-1-0123abcd"}
    for name in {dead, alive, *other}:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / f".del-a.json-{DEAD}-0123abcd").touch()
    durable.remove_leftovers(tmp_path)
    assert names(tmp_path) == {alive, *other}
    assert durable.remove_leftovers(tmp_path, is_locked=True) == [tmp_path / alive]
    assert durable.remove_leftovers(tmp_path / "nowhere") == []


def test_without_a_lock_only_old_leftovers_are_deleted(tmp_path: Path) -> None:
    old, new = (tmp_path / f".tmp-x-{DEAD}-0123abc{digit}" for digit in "01")
    for folder in (old, new):
        folder.mkdir()
        (folder / "file").touch()
    long_ago = time.time() - 100
    for path in (old / "file", old, new):
        os.utime(path, (long_ago, long_ago))
    assert durable.remove_leftovers(tmp_path, min_idle_seconds=50) == [
        old
    ]  # the other contains a recent file
    assert durable.remove_leftovers(tmp_path, min_idle_seconds=200) == []


def test_too_little_space_is_reported_before_anything_is_written(tmp_path: Path) -> None:
    durable.require_space(tmp_path, 10, disk=FullDisk(10))
    message = "saving needs 1.5 GB, but only 3.0 MB is free; free some space or fix the disk"
    with pytest.raises(ResourceError, match=message):
        durable.require_space(tmp_path / "step-3", 1_500_000_000, disk=FullDisk(3_000_000))


def test_a_folder_deleted_meanwhile_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "runs" / "sft-1"
    with pytest.raises(InputError, match="sft-1: the folder is gone; if it was deleted or moved"):
        fill(gone / "step-1", "x")
    with pytest.raises(InputError, match="sft-1: the folder is gone"):
        durable.write_text(gone / "data.json", "{}")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_read_only_folder_is_named(tmp_path: Path, code: int) -> None:
    with pytest.raises(InputError, match=r"step-1: .*; get write permission for it") as caught:
        fill(tmp_path / "step-1", "x", disk=FailingDisk(0, code=code))
    assert ".tmp-" not in str(caught.value)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOTEMPTY])
def test_any_other_error_of_the_system_is_explained_too(tmp_path: Path, code: int) -> None:
    with pytest.raises(UpbringError, match="step-1"):
        fill(tmp_path / "step-1", "x", disk=FailingDisk(3, code=code))


def test_a_file_is_added_to_a_manifest_without_reading_the_others(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    durable.seal_more(tmp_path, ["old"])
    assert durable.listed_names(tmp_path) == frozenset()  # without a manifest there is none
    durable.seal(tmp_path, ["old"])
    (tmp_path / "old").write_bytes(b"changed")
    (tmp_path / "new").write_bytes(b"new")
    durable.seal_more(tmp_path, ["new"])
    assert durable.listed_names(tmp_path) == {"old", "new"}
    durable.verify_file(tmp_path / "new")
    with pytest.raises(durable.Damaged, match="old"):
        durable.verify(tmp_path)


def test_a_folder_without_its_manifest_can_be_written_again(tmp_path: Path) -> None:
    durable.unseal(tmp_path)
    (tmp_path / "a").write_text("old")
    durable.seal(tmp_path, ["a"])
    durable.unseal(tmp_path)
    assert names(tmp_path) == {"a"}
    (tmp_path / "a").write_text("new")
    assert durable.verify_if_sealed(tmp_path) is None
