"""The code that runs before the command line."""

import os
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


NOISY = """
import logging, os, sys, warnings
from upbring.__main__ import main
sys.argv = ["upbring", *sys.argv[1:], "--version"]
try:
    main()
except SystemExit:
    warnings.warn("a deprecated argument", FutureWarning)
    logging.getLogger("library").warning("a missing kernel")
    print(os.environ.get("TRANSFORMERS_VERBOSITY"), file=sys.stderr)
"""


def noise(*words: str, options: tuple[str, ...] = ()) -> str:
    env = {name: text for name, text in os.environ.items() if name != "TRANSFORMERS_VERBOSITY"}
    command = [sys.executable, *options, "-c", NOISY, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stderr


def test_warnings_of_libraries_do_not_reach_the_user() -> None:
    assert noise() == "error\n"


def test_the_user_can_ask_for_the_warnings_of_libraries() -> None:
    shown = noise("--debug")
    assert "a deprecated argument" in shown
    assert "a missing kernel" in shown
    assert "a deprecated argument" in noise(options=("-W", "default"))
