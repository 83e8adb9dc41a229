"""A virtual environment for TRL, which is no dependency of upbring: made when missing."""

import subprocess
import venv
from pathlib import Path

BENCH = Path(__file__).resolve().parent
FOLDER = BENCH / ".venv-trl"
CONSTRAINTS = BENCH.parent / "constraints.txt"  # the same torch, transformers and peft as upbring's
TRL = "trl==1.16.0"


def python() -> Path:
    """Return the environment's interpreter, after making the environment if that was not done."""
    found = FOLDER / "bin" / "python"
    stamp = FOLDER / ".installed"
    if not stamp.is_file():
        print(f"making {FOLDER} for {TRL}", flush=True)
        venv.create(FOLDER, with_pip=True, clear=True)
        for packages in (["torch"], [TRL, "peft"]):  # torch by itself: a wheel for this machine
            install = [found, "-m", "pip", "install", "--quiet", "-c", CONSTRAINTS, *packages]
            subprocess.run(install, check=True)
        stamp.touch()
    return found
