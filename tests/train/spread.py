"""Trains a run in several parts, each with its own number of processes, given as COUNT:STOP.

    spread.py FOLDER 1:7 2:13 1:20

It is one program that forks, because importing torch takes longer than the whole run. The loss of
every step is then in the run's metrics.
"""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from tests.train import test_loop as loop
from upbring.errors import Interrupted
from upbring.train import checkpoint, processes
from upbring.train.launcher import RENDEZVOUS
from upbring.train.run_log import NullRunLog

CALM = loop.SETTINGS.model_copy(update={"learning_rate": 0.005})  # at 0.05 the loss is chaotic


def take_part(run: Path, *, stop: int) -> None:
    """Continue the run until step `stop`, as one of the processes."""
    with processes.join_process_group(torch.device("cpu")) as place:
        training = loop.training(CALM)
        if checkpoint.saved_steps(run / "checkpoints"):
            training.restore(loop.load(run))
        training.interruption = loop.StopAfter(training, stop)
        with (
            loop.open_run_log(run)
            if place.is_main_process
            else nullcontext(NullRunLog()) as run_log
        ):
            run_log.truncate(training.step)
            training.train(run_log)


def started(run: Path, rank: int, *, count: int, stop: int) -> int:
    """Start one of the processes and return its pid."""
    process = os.fork()
    if process:
        return process
    place = {"RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ.update({**place, RENDEZVOUS: str(run.parent / f"meeting-{stop}")})
    try:
        take_part(run, stop=stop)
    except Interrupted:
        os._exit(0)
    os._exit(1)


def main(run: Path, stages: list[str]) -> None:
    """Run all parts, each in processes of its own."""
    torch.set_num_threads(1)
    reading, _ = os.pipe()
    os.dup2(reading, 0)  # stays open, as the launcher's does
    for stage in stages:
        count, _, stop = stage.partition(":")
        running = [
            started(run, rank, count=int(count), stop=int(stop)) for rank in range(int(count))
        ]
        assert [os.waitpid(process, 0)[1] for process in running] == [0] * len(running), stage


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
