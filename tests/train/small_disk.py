"""Saves checkpoints on a disk that is really full, then really read-only: a small tmpfs.

    unshare --user --map-root-user --mount python small_disk.py FOLDER

Saves checkpoints until the disk is full, frees space, continues, and remounts the disk read-only.
Prints the error messages and the remaining checkpoints as JSON.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from upbring.durable import Disk
from upbring.errors import UpbringError
from upbring.runs.metrics import MetricsFile
from upbring.train.checkpoint import State, load, save, saved_steps

SIZE = 2_000_000
BALLAST = 900_000


class Hopeful(Disk):
    """Reports enough free space, so that the error comes from the disk itself."""

    def free_bytes(self, path: Path) -> int:
        del path
        return 10**12


def state(step: int, *, num_values: int = 100_000) -> State:
    return State(step, {"weights": torch.full((num_values,), float(step))})


def mount(folder: Path, options: str) -> None:
    """Mount a tmpfs on `folder`, or remount it with other options."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", str(folder)], check=True)


def try_save(checkpoints: Path, step: int, **more: object) -> dict[str, object]:
    """Save, and return the error message, the time it took, and what can be loaded."""
    began = time.monotonic()
    try:
        save(checkpoints, state(step), identity={}, keep=2, **more)  # type: ignore[arg-type]  # a disk
    except UpbringError as error:
        message, code = str(error), error.exit_code
    else:
        message, code = "", 0
    seconds = time.monotonic() - began
    newest = load(checkpoints, identity={}, warn=lambda _: None)
    is_whole = bool((newest.tensors["weights"] == newest.step).all())
    left = [path.name for path in checkpoints.iterdir() if path.name.startswith(".")]
    return {
        "message": message,
        "code": code,
        "seconds": seconds,
        "newest": newest.step,
        "steps": saved_steps(checkpoints),
        "is_whole": is_whole,
        "left": left,
    }


def metrics_error(folder: Path) -> str:
    """Return the error message when the disk is too full for a line of metrics."""
    metrics = MetricsFile(folder / "metrics.jsonl")
    try:
        for step in range(10**6):
            metrics.write(step, {"loss": 1.0})
    except UpbringError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    """Run all scenarios."""
    mount(folder, f"size={SIZE}")
    checkpoints, ballast = folder / "checkpoints", folder / "ballast"
    found = {"room": try_save(checkpoints, 1)}
    found["more room"] = try_save(checkpoints, 2)
    ballast.write_bytes(b"x" * BALLAST)
    found["reported before writing"] = try_save(checkpoints, 3)
    found["reported by the disk"] = try_save(checkpoints, 3, disk=Hopeful())
    found["metrics"] = {"message": metrics_error(folder)}
    ballast.unlink()
    found["room again"] = try_save(checkpoints, 3)
    mount(folder, "remount,ro")
    found["read-only"] = try_save(checkpoints, 4)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
