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
from pathlib import Path

import torch

from tests.road import curve, hashes
from upbring.cli.door import main
from upbring.recipe import training
from upbring.runs.metrics import last_record

STEPS = 30
SFT = (
    *(
        "sft",
        "d.jsonl",
        "--model",
        "m",
        "--steps",
        str(STEPS),
        "--step-examples",
        "4",
        "--rank",
        "4",
    ),
    *("--evaluate-every", "7", "--save-every", "3", "--sample-tokens", "8", "--threads", "1"),
    *("--held-out-share", "0.1", "--learning-rate", "0.01"),
)
NUM_KILLS = 2  # in one trial
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


def is_running(process: int) -> bool:
    """Whether a process has not come to its end."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def step(folder: Path) -> int:
    """Return the last step that the run wrote down, or −1 if there is no run yet."""
    run = folder / "runs" / "sft-1"
    last = last_record(run / "metrics.jsonl") if (run / "run.json").exists() else None
    return last.step if last else 0 if (run / "run.json").exists() else -1


def wait_for(folder: Path, process: int, *, target: int) -> None:
    """Wait until the run has taken step `target`, or ended."""
    while is_running(process) and step(folder) < target:
        select.select([], [], [], 0.003)


def outcome(folder: Path) -> dict[str, object]:
    """Return all that must not depend on kills."""
    run = folder / "runs" / "sft-1"
    last = run / "checkpoints" / f"step-{STEPS}"
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


def trial(folder: Path, draw: random.Random) -> dict[str, object]:
    """Kill and resume until the run is finished."""
    process = started(folder, *SFT)
    kills, codes = 0, []
    wait_for(folder, process, target=0)
    for _ in range(NUM_KILLS):
        target = draw.randint(0, STEPS - 1)  # reached already: killed while it starts
        wait_for(folder, process, target=target)
        select.select([], [], [], draw.random() * 0.03)  # and a moment of a step or a save
        os.kill(process, signal.SIGKILL)
        codes.append(ended(process))
        kills += codes[-1] == -signal.SIGKILL
        if codes[-1] == 0:
            break
        process = started(folder, "resume")
    else:
        codes.append(ended(process))
    return {"kills": kills, "codes": codes, "log": (folder / "log").read_text()}


def trials(folder: Path, count: int) -> list[dict[str, object]]:
    """Return what each trial did, and in what its outcome differs from that of no kill."""
    whole = fresh(folder, "whole")
    assert ended(started(whole, *SFT)) == 0, (whole / "log").read_text()
    expected = outcome(whole)
    draw = random.Random(0)
    found = []
    for number in range(count):
        inner = fresh(folder, str(number))
        told = trial(inner, draw)
        got = outcome(inner)
        found.append({**told, "differs": [k for k in expected if expected[k] != got[k]]})
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(trials(Path(sys.argv[1]), int(sys.argv[2]))))
