"""The very first lines that run."""

import subprocess
import sys

from upbring.__main__ import SPIN_COUNT, limit_thread_spinning


def test_threads_wait_shortly_unless_the_user_has_said_how() -> None:
    for given, found in (
        ({}, {"GOMP_SPINCOUNT": SPIN_COUNT}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ):
        limit_thread_spinning(given)
        assert given == found


def test_the_first_lines_do_not_wait_for_torch() -> None:
    code = "import sys, upbring.__main__; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
