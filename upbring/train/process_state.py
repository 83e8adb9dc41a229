"""Restores what a call of this library changes in its process.

A command ends with its process; a call from a notebook does not. Restored are: the number of
threads, the allocator, environment variables, determinism flags, the CUDA device, random states,
warning filters, and the verbosity of transformers. Signal handlers are restored by
`Interruption`, the current directory by whoever changes it.

Excluded: what libraries keep once they have read it. oneDNN and OpenMP read their variables when
torch computes for the first time, and glibc no longer adapts its thresholds once they were set.
"""

import contextlib
import csv
import ctypes
import os
import platform
import random
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial

import numpy as np
import torch
import torch.utils.deterministic
from transformers.utils import logging as transformers_logging

from upbring import durable
from upbring.train.devices import CHANGED_VARIABLES, M_MMAP_MAX, M_TOP_PAD, M_TRIM_THRESHOLD

# glibc's own values, and the variables that replace them.
ALLOCATOR_DEFAULTS = (
    (M_MMAP_MAX, "MALLOC_MMAP_MAX_", 65_536),
    (M_TRIM_THRESHOLD, "MALLOC_TRIM_THRESHOLD_", 128 * 1024),
    (M_TOP_PAD, "MALLOC_TOP_PAD_", 128 * 1024),
)
_IS_PRESERVED = ContextVar("_IS_PRESERVED", default=False)


@contextlib.contextmanager
def preserve_process_state() -> Iterator[None]:
    """Restore the state of the process after the block; within another such block do nothing."""
    if _IS_PRESERVED.get():
        yield
        return
    token = _IS_PRESERVED.set(True)
    restore = [*_library_state(), *_torch_state(), *_variables()]
    try:
        with warnings.catch_warnings():
            yield
    finally:
        _IS_PRESERVED.reset(token)
        for each in restore:
            each()
        restore_allocator()
        durable.reset_peak_process_memory()


def restore_allocator() -> None:
    """Give the C library its own thresholds again, and the system the memory that is free."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for name, variable, default in ALLOCATOR_DEFAULTS:
        value = os.environ.get(variable, "")
        libc.mallopt(name, int(value) if value.isdecimal() else default)
    libc.malloc_trim(0)


def _library_state() -> Iterator[Callable[[], object]]:
    """Yield what restores Python's and transformers' state."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 -- the global one
    yield lambda: random.setstate(state)
    yield lambda: np.random.set_state(numpy_state)  # noqa: NPY002 -- as above
    field_limit = csv.field_size_limit()
    yield lambda: csv.field_size_limit(field_limit)
    verbosity = transformers_logging.get_verbosity()
    yield lambda: transformers_logging.set_verbosity(verbosity)
    if transformers_logging.is_progress_bar_enabled():
        yield transformers_logging.enable_progress_bar


def _torch_state() -> Iterator[Callable[[], object]]:
    """Yield what restores torch's state."""
    threads, generator_state = torch.get_num_threads(), torch.get_rng_state()
    yield lambda: torch.set_num_threads(threads)
    yield lambda: torch.set_rng_state(generator_state)
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    is_warning = torch.is_deterministic_algorithms_warn_only_enabled()
    yield lambda: torch.use_deterministic_algorithms(is_deterministic, warn_only=is_warning)
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property of its module
    yield lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", fills)
    if torch.cuda.is_available():
        has_cudnn_attention = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]  # torch's own
        yield lambda: torch.backends.cuda.enable_cudnn_sdp(enabled=has_cudnn_attention)
        yield partial(torch.cuda.set_device, torch.cuda.current_device())


def _variables() -> Iterator[Callable[[], object]]:
    """Yield what restores the environment variables that `devices` and `processes` set."""
    for name in CHANGED_VARIABLES:
        if name not in os.environ:
            yield partial(os.environ.pop, name, None)
