"""Memory that fragments hold is returned to the system, after growth and not at every step."""

import sys

import pytest
import torch

from upbring import durable
from upbring.train import heap
from upbring.train.devices import retain_freed_memory
from upbring.train.heap import (
    MIN_STEPS_BETWEEN,
    NUM_FIRST_STEPS,
    HeapTrimmer,
    release_memory,
)

MEGABYTES = 2**20
BLOCKS = 2_000


def fragmented() -> list[torch.Tensor]:
    """Return every second of many blocks; the other half, about 100 MB, is free gaps."""
    blocks = [torch.ones(13_000 + i) for i in range(BLOCKS)]
    return blocks[::2]


def test_trimming_returns_the_gaps_between_blocks_that_are_in_use() -> None:
    if not retain_freed_memory():
        assert not durable.trim_heap()
        return
    kept = fragmented()
    before = durable.process_memory_bytes()
    assert durable.trim_heap()
    assert before - durable.process_memory_bytes() > 20 * MEGABYTES
    assert all(bool((each == 1).all()) for each in kept)


def test_it_trims_after_growth_and_then_rests() -> None:
    trimmer = HeapTrimmer()
    used = durable.process_memory_bytes()
    assert not any(trimmer.after_step() for _ in range(NUM_FIRST_STEPS))
    assert trimmer.usual_bytes >= 0.9 * used
    trimmer.usual_bytes //= 2  # as if memory had doubled since
    trimmed = [trimmer.after_step() for _ in range(2 * MIN_STEPS_BETWEEN)]
    assert [i for i, was in enumerate(trimmed) if was] == [0, MIN_STEPS_BETWEEN]


def test_it_does_not_trim_without_growth() -> None:
    trimmer = HeapTrimmer()
    for _ in range(NUM_FIRST_STEPS):
        trimmer.after_step()
    trimmer.usual_bytes *= 2
    assert not any(trimmer.after_step() for _ in range(NUM_FIRST_STEPS))
    assert heap.MAX_GROWTH < 2


@pytest.mark.skipif(sys.platform != "linux", reason="no other system resets the peak")
def test_the_peak_of_an_earlier_run_is_forgotten() -> None:
    large = torch.ones(50 * MEGABYTES)
    peak = durable.peak_process_memory_bytes()
    del large
    release_memory()
    assert durable.peak_process_memory_bytes() < peak - 150 * MEGABYTES
