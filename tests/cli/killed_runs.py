"""Kills runs at random moments, resumes them, and prints as JSON what came out.

    killed_runs.py FOLDER COUNT

FOLDER holds the model `m` and the data `d.jsonl`. A trial begins a run, kills it as `kill -9` does,
and says `upbring resume` until the run is finished; each of those processes may be killed as well.
One program, which forks, because starting torch takes longer than a whole run.
"""

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

import torch

from tests.road import curve, hashes
from upbring.cli.door import main
from upbring.recipe import training
from upbring.runs.folder import Run

SFT = (
    *("sft", "d.jsonl", "--model", "m", "--steps", "30", "--step-examples", "4", "--rank", "4"),
    *("--evaluate-every", "7", "--save-every", "3", "--sample-tokens", "8", "--threads", "1"),
    *("--held-out-share", "0.1", "--learning-rate", "0.01"),
)
MOST_KILLS = 2  # in one trial
assert training, "imported before the forks, for it takes seconds"


def started(folder: Path, *words: str) -> int:
    """Run a verb in a process of its own and return its number."""
    process = os.fork()
    if process:
        return process
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os._exit(main(list(words)))


def ended(process: int) -> int:
    """Wait for a process and return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def wait_for(file: Path, process: int) -> None:
    """Wait until there is such a file, or no such process."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while not file.exists() and os.waitid(os.P_PID, process, how) is None:
        select.select([], [], [], 0.001)


def outcome(folder: Path) -> dict[str, object]:
    """Return all that must not depend on kills."""
    run = folder / "runs" / "sft-1"
    last = run / "checkpoints" / "step-30"
    return {
        "model": hashes(run / "model"),
        "optimiser": hashes(last)["tensors.safetensors"],
        "metrics": curve(run),
        "samples": (run / "samples.jsonl").read_text(),
        "papers": [(run / name).read_text() for name in ("settings.yaml", "data.json")],
        "card": (run / "README.md").read_text(),
    }


def fresh(folder: Path, name: str) -> Path:
    """Return a folder with the model and the data of another."""
    inner = folder / name
    inner.mkdir()
    for each in ("m", "d.jsonl"):
        (inner / each).symlink_to(folder / each)
    return inner


def trial(folder: Path, draw: random.Random, *, seconds: float) -> dict[str, object]:
    """Kill and resume until the run is finished."""
    process = started(folder, *SFT)
    kills, codes = 0, []
    wait_for(folder / "runs" / "sft-1" / "run.json", process)
    while kills < MOST_KILLS:
        select.select([], [], [], draw.random() * seconds)
        os.kill(process, signal.SIGKILL)
        codes.append(ended(process))
        kills += codes[-1] == -signal.SIGKILL
        if Run(folder / "runs" / "sft-1").status() == "finished":
            break
        process = started(folder, "resume")
    else:
        codes.append(ended(process))
    return {"kills": kills, "codes": codes, "log": (folder / "log").read_text()}


def trials(folder: Path, count: int) -> list[dict[str, object]]:
    """Return what each trial did, and in what its outcome differs from that of no kill."""
    whole = fresh(folder, "whole")
    process = started(whole, *SFT)
    wait_for(whole / "runs" / "sft-1" / "run.json", process)
    began = time.monotonic()
    assert ended(process) == 0, (whole / "log").read_text()
    seconds = time.monotonic() - began
    expected = outcome(whole)
    draw = random.Random(0)
    found = []
    for number in range(count):
        inner = fresh(folder, str(number))
        told = trial(inner, draw, seconds=seconds)
        got = outcome(inner)
        found.append({**told, "differs": [k for k in expected if expected[k] != got[k]]})
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(trials(Path(sys.argv[1]), int(sys.argv[2]))))
