"""Locks of folders and files; links, pipes and devices are never opened for writing."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from upbring import durable
from upbring.durable import locking
from upbring.errors import InputError

HOLDER = """
import sys
from pathlib import Path
from upbring import durable
with durable.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
DEAD = 2**22 + 1


def test_a_folder_is_locked_for_as_long_as_the_block_lasts(tmp_path: Path) -> None:
    assert not durable.is_locked(tmp_path)
    with durable.lock(tmp_path):
        assert durable.is_locked(tmp_path)
    assert not durable.is_locked(tmp_path)
    with durable.lock(tmp_path):
        pass


def test_a_second_process_is_refused_and_the_first_one_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        expected = rf"{tmp_path.name}: process {holder.pid} on .* is using this folder; wait"
        with pytest.raises(InputError, match=expected), durable.lock(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with durable.lock(tmp_path):  # the lock of a dead process is free
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(("pid", "is_free"), [(DEAD, True), (os.getppid(), False)])
def test_without_system_locks_the_process_id_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: int, *, is_free: bool
) -> None:
    def unsupported(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), descriptor)

    monkeypatch.setattr(locking, "_lock_descriptor", unsupported)
    text = json.dumps({"pid": pid, "host": socket.gethostname()})
    (tmp_path / ".lock").write_text(text)
    assert durable.is_locked(tmp_path) is not is_free
    (tmp_path / ".lock").write_text(json.dumps({"pid": DEAD, "host": "elsewhere"}))
    assert durable.is_locked(tmp_path)
    (tmp_path / ".lock").write_text("")
    assert not durable.is_locked(tmp_path)


def test_each_waits_for_its_turn(tmp_path: Path) -> None:
    program = HOLDER.replace("durable.lock", "durable.wait_for_lock")
    command = [sys.executable, "-c", program, str(tmp_path / "turn")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == b"held\n"
        waited = []

        def waiting() -> None:
            waited.append(holder.poll())
            holder.stdin.close()

        with durable.wait_for_lock(tmp_path / "turn", waiting=waiting):
            assert waited[0] is None  # the lock was held on our first attempt


def test_locking_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder is gone"), durable.lock(tmp_path / "gone"):
        pass


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_a_link_a_pipe_or_a_folder_is_not_opened(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name, make in (
        ("a symbolic link", lambda path: path.symlink_to(victim)),
        ("not a regular file", os.mkfifo),
        ("a folder", os.mkdir),
    ):
        folder = tmp_path / name
        folder.mkdir()
        make(folder / ".lock")
        refusal = pytest.raises(InputError, match=f"{name}, and upbring would write to it")
        with refusal, durable.lock(folder):
            pass
        assert not durable.is_locked(folder)
    assert victim.read_text() == "mine"
