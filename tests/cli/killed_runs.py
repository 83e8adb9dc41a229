"""Kills runs at random moments, resumes them, and prints the results as JSON.

    killed_runs.py FOLDER COUNT KILLS COMMAND ARGUMENT…

FOLDER holds what the words name. A trial begins a run, kills it, and says `upbring resume` until
the run is finished; so many of those processes are killed. The kernel ends them with no word to
Python, as by `kill -9`, but a stack of calls is written before. Each trial has a cache of its own.
One program, which forks, because torch takes longer to start than a whole run.
"""

import faulthandler
import json
import os
import random
import re
import select
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.commands import curve, hashes
from upbring.cli.main import main
from upbring.runs.metrics import last_record
from upbring.runs.run_folder import Run
from upbring.stages.registry import find_method, load_implementation

KILL = signal.SIGUSR1
TRIALS = "trials"  # the folder of their folders
PHASES = {  # what a stack of calls holds, the outermost first
    "saving": ("loop.py", "_save"),
    "evaluation": ("loop.py", "_evaluate"),
    "generation": ("sample_round.py", "sample_responses"),
    "scoring": ("rl.py", "sample_round"),
    "update": ("loop.py", "_train_step"),
}
CHANGES = {".lock", "run.json", "environment.json", "metrics.jsonl"}  # they contain times


@dataclass(frozen=True)
class Typed:
    """A command line that runs in its own folder."""

    words: Sequence[str]
    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "runs" / f"{self.words[0]}-1"

    @property
    def steps(self) -> int:
        return int(self.words[self.words.index("--steps") + 1])

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def stack(self) -> Path:
        return self.folder / "stack"

    def started(self, *words: str) -> int:
        """Run the command line in its own process and return the pid."""
        self.stack.write_text("")
        process = os.fork()
        if process:
            return process
        os.chdir(self.folder)
        os.environ["UPBRING_CACHE"] = "cache"
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        faulthandler.register(KILL, self.stack.open("a"), chain=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {KILL})
        os._exit(main(list(words)))

    def step(self) -> int:
        """Return the last step in the run's metrics, or −1 if there is no run yet."""
        if not (self.run / "run.json").exists():
            return -1
        last = last_record(self.run / "metrics.jsonl")
        return last.step if last else 0

    def wait_for(self, process: int, *, target: int) -> None:
        """Wait until the run has taken step `target`, or ended."""
        while is_running(process) and self.step() < target:
            select.select([], [], [], 0.003)

    def pace(self) -> float:
        """Return how many seconds the finished run took for a step."""
        lines = (self.run / "metrics.jsonl").read_text().splitlines()
        times = [json.loads(line)["time"] for line in lines]
        return float(times[-1] - times[0]) / self.steps

    def outcome(self) -> dict[str, object]:
        """Return all that must not depend on kills."""
        last = self.run / "checkpoints" / f"step-{self.steps}"
        records = [p for p in self.run.iterdir() if p.is_file() and p.name not in CHANGES]
        kept = (self.folder / "cache").glob("reference-*")
        return {
            "model": hashes(self.run / "model"),
            "everything": hashes(last)["tensors.safetensors"],
            "metrics": curve(self.run),
            **{path.name: path.read_text() for path in records},
            **{path.name: hashes(path) for path in kept},
        }


def ended(process: int) -> int:
    """Wait for a process and return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def is_running(process: int) -> bool:
    """Whether a process is still running."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def phase(calls: str) -> str:
    """Return the phase of a process from its recorded call stack."""
    for name, (file, function) in PHASES.items():
        if re.search(rf'{file}", line \d+ in {function}$', calls, re.MULTILINE):
            return name
    return "beginning or end"


def fresh(folder: Path, name: str, words: Sequence[str]) -> Typed:
    """Return the command line in a new copy of `folder`."""
    inner = folder / TRIALS / name
    inner.mkdir(parents=True)
    for each in folder.iterdir():
        if each.name != TRIALS:
            (inner / each.name).symlink_to(each)
    return Typed(words, inner)


def trial(typed: Typed, draw: random.Random, *, kills: int, pace: float) -> dict[str, object]:
    """Kill and resume until the run is finished; a step takes `pace` seconds."""
    process = typed.started(*typed.words)
    codes: list[int] = []
    phases: list[str] = []
    typed.wait_for(process, target=0)
    for _ in range(kills):
        target = draw.randint(0, typed.steps - 1)  # reached already: killed while it starts
        typed.wait_for(process, target=target)
        select.select([], [], [], draw.random() * pace)  # and a moment of a step or a save
        os.kill(process, KILL)
        codes.append(ended(process))
        if Run.open(typed.run).status() == "finished":  # just before it was hit
            codes[-1] = 0
            break
        if codes[-1] == -KILL:
            phases.append(phase(typed.stack.read_text()))
        process = typed.started("resume")
    else:
        codes.append(ended(process))
    return {"kills": phases, "codes": codes, "log": typed.log}


def trials(folder: Path, count: int, kills: int, words: Sequence[str]) -> list[dict[str, object]]:
    """Return the result of each trial, and how it differs from an uninterrupted run."""
    whole = fresh(folder, "whole", words)
    assert ended(whole.started(*words)) == 0, whole.log
    expected, draw = whole.outcome(), random.Random(0)
    found: list[dict[str, object]] = []
    for number in range(3 * count):
        typed = fresh(folder, str(number), words)
        outcome = trial(typed, draw, kills=kills, pace=whole.pace())
        if outcome["kills"]:  # otherwise it ended before the kill, which is no trial
            got = typed.outcome()
            differs = [k for k in {**expected, **got} if expected.get(k) != got.get(k)]
            found.append({**outcome, "differs": differs})
        if len(found) == count:
            break
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {KILL})  # until a process has set its handler
    where, how_many, how_often, *typed_words = sys.argv[1:]
    load_implementation(find_method(typed_words[0]))  # before the forks, because it takes seconds
    outcome = trials(Path(where), int(how_many), int(how_often), typed_words)
    sys.stdout.write(json.dumps(outcome))
