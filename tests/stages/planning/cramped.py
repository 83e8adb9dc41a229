"""A stage whose process is denied memory once its first checkpoint is saved; run by its test."""

import sys
from typing import Any

import psutil

from upbring.cli.main import main
from upbring.train.loop import Trainer
from upbring.train.run_log import RunLog

ROOM = 32 * 2**20
train = Trainer.train


def cramped(self: Trainer, run_log: RunLog) -> None:
    save = run_log.save_checkpoint

    def save_and_deny(*given: Any, **more: Any) -> None:
        save(*given, **more)
        process = psutil.Process()
        limit = process.memory_info().vms + ROOM
        process.rlimit(psutil.RLIMIT_AS, (limit, limit))

    run_log.save_checkpoint = save_and_deny  # type: ignore[method-assign]  # to see the moment
    train(self, run_log)


if __name__ == "__main__":
    Trainer.train = cramped  # type: ignore[method-assign]  # where the stage finds it
    sys.exit(main(sys.argv[1:]))
