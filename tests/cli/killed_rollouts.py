"""Kills PPO at random moments of drawing, scoring, learning and saving; prints what came out.

    killed_rollouts.py FOLDER COUNT

FOLDER holds the model `m`, the reward model `r` and the prompts `d.jsonl`. As `killed_runs`, whose
parts it uses.
"""

import json
import os
import random
import select
import signal
import sys
from pathlib import Path

import torch

from tests.cli.killed_runs import ended, is_running, started
from tests.road import curve, hashes
from upbring.runs.metrics import last_record

STEPS = 8
PPO = (
    *("ppo", "d.jsonl", "--model", "m", "--reward", "r", "--rank", "4"),
    *("--steps", str(STEPS), "--step-examples", "3", "--inner-epochs", "2", "--minibatches", "2"),
    *("--response-tokens", "6", "--judged-prompts", "2", "--sample-tokens", "4", "--threads", "1"),
    *("--evaluate-every", "5", "--save-every", "3", "--held-out-share", "0.1"),
    *("--learning-rate", "0.01", "--kl-target", "0.1", "--kl-horizon", "30", "--ema", "0.5"),
    *("--normalise", "scale", "--mix", "d.jsonl=0.25", "--precision", "float32"),
)
NUM_KILLS = 1  # in one trial


def run_of(folder: Path) -> Path:
    return folder / "runs" / "ppo-1"


def step(folder: Path) -> int:
    """Return the last step that the run wrote down, or −1 if there is no run yet."""
    run = run_of(folder)
    last = last_record(run / "metrics.jsonl") if (run / "run.json").exists() else None
    return last.step if last else 0 if (run / "run.json").exists() else -1


def wait_for(folder: Path, process: int, *, target: int) -> None:
    """Wait until the run has taken step `target`, or ended."""
    while is_running(process) and step(folder) < target:
        select.select([], [], [], 0.003)


def outcome(folder: Path) -> dict[str, object]:
    """Return all that must not depend on kills."""
    run = run_of(folder)
    last = run / "checkpoints" / f"step-{STEPS}"
    return {
        "model": hashes(run / "model"),
        "everything": hashes(last)["tensors.safetensors"],
        "metrics": curve(run),
        "samples": (run / "samples.jsonl").read_text(),
        "card": (run / "README.md").read_text(),
    }


def fresh(folder: Path, name: str) -> Path:
    """Return a folder with the models and the data of another."""
    inner = folder / name
    inner.mkdir()
    for each in ("m", "r", "d.jsonl"):
        (inner / each).symlink_to(folder / each)
    return inner


def trial(folder: Path, draw: random.Random) -> dict[str, object]:
    """Kill and resume until the run is finished."""
    process = started(folder, *PPO)
    kills, codes = 0, []
    wait_for(folder, process, target=0)
    for _ in range(NUM_KILLS):
        wait_for(folder, process, target=draw.randint(0, STEPS - 1))
        select.select([], [], [], draw.random() * 0.08)  # a moment of a round, a step or a save
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
    assert ended(started(whole, *PPO)) == 0, (whole / "log").read_text()
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
