"""The code that runs before the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from upbring.__main__ import SPIN_COUNT, limit_thread_spinning

ROOT = Path(__file__).parents[1]


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


INTERRUPTED_IMPORT = """
import sys

class Interruptor:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == interrupted:
            raise KeyboardInterrupt

from upbring.__main__ import main
interrupted = sys.argv[1]
sys.argv = ["upbring", "sft", sys.argv[2], "--model", "builtin:sprout"]
sys.meta_path.insert(0, Interruptor)
main()
"""


@pytest.mark.parametrize("module", ["upbring.cli.main", "upbring.cli.flags", "torch"])
def test_an_interrupted_import_ends_without_a_traceback(tmp_path: Path, module: str) -> None:
    script, data = tmp_path / "interrupted.py", tmp_path / "d.jsonl"
    script.write_text(INTERRUPTED_IMPORT)
    data.write_text('{"prompt": "a", "response": "b"}\n')
    result = subprocess.run(
        [sys.executable, str(script), module, str(data)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr in {"interrupted\n", "interrupted; nothing was started\n"}
