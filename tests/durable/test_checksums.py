"""A file is hashed once while it does not change, and always after a change."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.traced import tracing
from upbring.durable import checksums
from upbring.durable.checksums import file_checksums, sha256_file


def reads(path: Path) -> int:
    with tracing() as trace:
        for _ in range(3):
            assert sha256_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    return trace.opened.count(path.resolve()) - 3  # the reads of this test


def test_a_file_is_read_once_unless_it_has_just_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    assert reads(path) == 3
    monkeypatch.setattr(checksums, "SETTLED_NS", 0)  # as if seconds had passed
    assert reads(path) == 1
    assert reads(path) == 0
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))  # an older time is a change, too
    assert reads(path) == 1


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(OSError, match="is not a regular file"):
        file_checksums(tmp_path / "x")
