"""The preference losses equal TRL's; needs an environment with TRL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRL = "UPBRING_TRL_PYTHON"  # the interpreter of an environment that has TRL 1.16


@pytest.mark.skipif(
    TRL not in os.environ, reason=f"{TRL} is not set to the Python of an environment with TRL"
)
def test_every_loss_equals_trls_within_1e_5() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "dpo_parity.py"), "--trl-python", os.environ[TRL]],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("\n| ") == 7
