"""Faults of the machine are told apart from the user's and from ours."""

import errno
import os

import pytest

from upbring.durable.faults import is_out_of_memory, is_resource_error, raise_resource_error
from upbring.errors import InputError, ResourceError


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (MemoryError(), "out of memory (MemoryError); end other programs"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory"),
        (RuntimeError("could not create a primitive"), "out of memory"),
        (RuntimeError("not initialized: ThreadPoolBuildError { kind: IOError }"), "out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "out of memory",
        ),
        (ImportError("libx.so: failed to map segment from shared object"), "out of memory"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
        (Exception("Too many open files (os error 24)"), "too many open files"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no space left on the disk"),
        (
            Exception("I/O error: No space left on device (os error 28)"),
            "no space left on the disk",
        ),
    ],
    ids=str,
)
def test_what_is_exhausted_is_named(error: Exception, problem: str) -> None:
    assert is_resource_error(error)
    assert is_out_of_memory(error) == problem.startswith("out of memory")
    outer = RuntimeError("a library failed")
    outer.__cause__ = error
    for each in (error, outer):
        with pytest.raises(ResourceError) as caught:
            raise_resource_error(each)
        assert str(caught.value).startswith(problem.partition(" (")[0])
        assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "error",
    [
        ValueError("row 3: 'out of memory' is not a role"),
        KeyError("too many open files"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        RuntimeError("shapes differ"),
        InputError("x.json: out of memory is no name"),
    ],
    ids=str,
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert not is_resource_error(error)
    raise_resource_error(error)
