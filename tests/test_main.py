"""The code that runs before the command line."""

import subprocess
import sys

from upbring.__main__ import SPIN_COUNT, limit_thread_spinning


def test_the_spin_count_is_low_unless_the_user_chose_one() -> None:
    for given, found in (
        ({}, {"GOMP_SPINCOUNT": SPIN_COUNT}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ):
        limit_thread_spinning(given)
        assert given == found


def test_the_entry_point_does_not_import_torch() -> None:
    code = "import sys, upbring.__main__; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
