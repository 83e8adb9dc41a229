import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.utils import logging as transformers_logging

from upbring import durable
from upbring.settings.model import ModelSettings
from upbring.train import devices
from upbring.train.process_state import preserve_process_state, restore_allocator

ROOT = Path(__file__).parents[2]

# Resident memory must fall when a large array is freed, as glibc's own thresholds make it do.
ALLOCATOR = """
import psutil, torch
from upbring.settings.model import ModelSettings
from upbring.train import devices
from upbring import durable
from upbring.train.process_state import preserve_process_state

def kept_bytes():
    before = psutil.Process().memory_info().rss
    tensor = torch.ones(64, 2**18)
    del tensor
    return psutil.Process().memory_info().rss - before

with preserve_process_state():
    devices.prepare(ModelSettings(model="m", threads=1))
    inside = kept_bytes()
print(inside > 2**25, kept_bytes() < 2**22)
"""


def test_what_a_run_changes_is_restored() -> None:
    transformers_logging.enable_progress_bar()
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    environment, filters = dict(os.environ), list(warnings.filters)
    verbosity = transformers_logging.get_verbosity()
    draws = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002 -- a tuple
    with preserve_process_state():
        devices.prepare(ModelSettings(model="m", threads=threads + 1))
        devices.enable_determinism()
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        random.random()
        np.random.default_rng()
        np.random.seed(1)  # noqa: NPY002 -- the global generator
        torch.manual_seed(1)
        assert torch.get_num_threads() == threads + 1
        assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), generator)
    assert dict(os.environ) == environment
    assert list(warnings.filters) == filters
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert draws == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]  # noqa: NPY002 -- as above


def test_it_is_restored_after_an_error_too() -> None:
    threads = torch.get_num_threads()

    def interrupted() -> None:
        with preserve_process_state():
            torch.set_num_threads(threads + 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.get_num_threads() == threads


def test_a_call_within_a_call_restores_nothing() -> None:
    threads = torch.get_num_threads()
    with preserve_process_state():
        torch.set_num_threads(threads + 1)
        with preserve_process_state():
            torch.set_num_threads(threads + 2)
        assert torch.get_num_threads() == threads + 2
    assert torch.get_num_threads() == threads


def test_a_variable_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    monkeypatch.setenv("MALLOC_TOP_PAD_", "4096")
    with preserve_process_state():
        devices.retain_freed_memory()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
    restore_allocator()  # with the user's own threshold


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_freed_memory_is_kept_within_and_returned_afterwards() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.check_output([sys.executable, "-c", ALLOCATOR], text=True, env=environment)
    assert out.split() == ["True", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="no other system resets the peak")
def test_the_peak_of_memory_is_that_of_what_comes_afterwards() -> None:
    with preserve_process_state():
        large = torch.ones(50 * 2**20)
        peak = durable.peak_process_memory_bytes()
        del large
    assert durable.peak_process_memory_bytes() < peak - 150 * 2**20
