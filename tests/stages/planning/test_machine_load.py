"""The share of the cores that other programs use."""

import subprocess
import sys
import time

import psutil
import pytest

from upbring.stages.planning.machine_load import LoadMeter, compute_other_load, describe_load


@pytest.mark.parametrize(
    ("busy", "own_seconds", "expected"),
    [
        (1.0, 4.0, 0.0),  # 4 s of CPU in 2 s on 2 cores: all of it is ours
        (1.0, 1.0, 0.75),
        (0.25, 1.0, 0.0),
        (0.2, 1.0, 0.0),  # rounding of the system's counters is no negative load
        (0.0, 0.0, 0.0),
        (0.0, 1.0, None),  # we computed, and the system reports that nobody did
    ],
)
def test_the_load_of_other_programs_is_the_total_without_our_own(
    busy: float, own_seconds: float, expected: float | None
) -> None:
    found = compute_other_load(busy=busy, own_seconds=own_seconds, seconds=2.0, cores=2)
    assert found == expected


def test_only_a_load_that_matters_is_reported() -> None:
    assert describe_load(0.14) == ""
    assert "used 16 % of the cores" in describe_load(0.16)
    assert "unknown load" in describe_load(None)


@pytest.mark.skipif(psutil.cpu_times().idle == 0, reason="this system does not count CPU time")
def test_a_program_that_computes_is_seen_and_our_own_work_is_not() -> None:
    spinning = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", spinning]) as other:
        try:
            with LoadMeter() as meter:
                until = time.process_time() + 0.3
                while time.process_time() < until:
                    pass
        finally:
            other.kill()
    assert meter.other_load is not None
    # at least half a core of the other's, however many more share the machine
    assert meter.other_load > 0.25 / (psutil.cpu_count() or 1)
