"""A virtual environment for TRL, which is no dependency of upbring: made when missing.

By hand, for `--trl-python` (TRL 1.12 takes the torch, transformers 5 and peft that upbring has; its
PPO needs no more than these, accelerate and datasets):

    python -m venv FOLDER
    FOLDER/bin/python -m pip install -c constraints.txt torch
    FOLDER/bin/python -m pip install -c constraints.txt trl==1.12.0 peft

which gives torch 2.13.0, transformers 5.23.0, peft 0.21.2, accelerate 1.15.0 and datasets 5.2.0.
"""

import subprocess
import venv
from pathlib import Path

BENCH = Path(__file__).resolve().parent
FOLDER = BENCH / ".venv-trl"
CONSTRAINTS = BENCH.parent / "constraints.txt"  # the same torch, transformers and peft as upbring's
TRL = "trl==1.16.0"
TRL_WITH_PPO = "trl==1.12.0"  # the last that has it


def python(release: str = TRL) -> Path:
    """Return the environment's interpreter, after making the environment if that was not done."""
    folder = FOLDER if release == TRL else BENCH / ".cache" / release.replace("==", "-")
    found = folder / "bin" / "python"
    stamp = folder / ".installed"
    if not stamp.is_file():
        print(f"making {folder} for {release}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        for packages in (["torch"], [release, "peft"]):  # torch by itself: a wheel for this machine
            install = [found, "-m", "pip", "install", "--quiet", "-c", CONSTRAINTS, *packages]
            subprocess.run([*map(str, install)], check=True)
        stamp.touch()
    return found
